import subprocess
import sys

import numpy as np
import pytest

from candelabra_client import JobResults, MissingDependency, SymbolFailed
from candelabra_client._plots import MOST_SYMBOLS, PlotKind, Target
from support.charts import candles, days, failed, result


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", PlotKind.PNG), ("a.b.PNG", PlotKind.PNG), ("a.html", PlotKind.HTML), ("term", PlotKind.TERMINAL)],
)
def test_the_name_says_what_to_draw(name, kind):
    target = Target.of(name)

    assert target.kind is kind
    assert (target.path is None) == (kind is PlotKind.TERMINAL)


@pytest.mark.parametrize("name", ["", "a", "a.pdf", "png", ".png", "terminal", "a.svg"])
def test_another_name_is_refused_with_those_that_work(name):
    with pytest.raises(ValueError, match=r"expected FILE\.png, FILE\.html or term"):
        Target.of(name)


def test_a_result_plots_itself_with_its_candles(tmp_path):
    average = result("AAPL", days(30), average=candles(30)["close"])
    average.plot(tmp_path / "a.png", candles=candles(30), formula="average = close", timeframe="1d")
    average.plot(str(tmp_path / "a.html"))

    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "a.html").read_bytes().startswith(b"<!DOCTYPE html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "a.png"]


def test_a_result_plots_itself_on_the_terminal(capsys):
    candles(30).plot("term", timeframe="1d")

    assert capsys.readouterr().out.startswith("AAPL  1d, 2012-01-01 to 2012-01-30")


def test_gathered_results_plot_those_that_there_are(capsys):
    results = JobResults([candles(9, symbol="B"), failed("NOPE"), candles(9, symbol="A")], symbols=["A", "NOPE", "B"])
    results.plot("term", candles=results)

    drawn = capsys.readouterr().out
    assert drawn.index("A  2012") < drawn.index("B  2012")
    assert "NOPE" not in drawn


def test_failed_symbols_cannot_be_plotted(tmp_path):
    with pytest.raises(SymbolFailed, match="NO_CANDLES"):
        failed("A").plot(tmp_path / "a.png")
    with pytest.raises(SymbolFailed, match="NO_CANDLES"):
        candles(3).plot(tmp_path / "a.png", candles=failed("A"))
    with pytest.raises(ValueError, match="no symbol has a result"):
        JobResults([failed("A")], symbols=["A"]).plot(tmp_path / "a.png")


def test_more_symbols_than_a_picture_shows_are_refused(tmp_path):
    many = [candles(3, symbol=f"S{number}") for number in range(MOST_SYMBOLS + 1)]

    with pytest.raises(ValueError, match="a plot shows at most 6 symbols, and these are 7"):
        JobResults(many, symbols=["*"]).plot(tmp_path / "a.png")


def test_a_file_that_cannot_be_replaced_stays(tmp_path):
    (tmp_path / "a.png").mkdir()

    with pytest.raises(OSError, match=r"a\.png"):
        candles(3).plot(tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize(
    ("library", "target", "install"),
    [
        ("matplotlib", "a.png", "'candelabra[plot]'"),
        ("plotly", "a.html", "'candelabra[plot]'"),
        ("rich", "term", "'candelabra[cli]'"),
    ],
)
def test_a_missing_library_is_named_with_what_installs_it(monkeypatch, tmp_path, library, target, install):
    for name in [name for name in sys.modules if name.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.chdir(tmp_path)

    with pytest.raises(MissingDependency) as raised:
        candles(3).plot(target)
    assert str(raised.value) == f"this needs {library}, which is not installed: pip install {install}"
    assert list(tmp_path.iterdir()) == []


def test_pictures_load_only_what_they_need(tmp_path):
    program = f"""
import sys
sys.path.insert(0, "tests")
from support.charts import candles
heavy = ("matplotlib", "matplotlib.pyplot", "plotly", "rich", "pandas", "polars")
loaded = lambda: [name for name in heavy if name in sys.modules]
print(loaded())
candles(3).plot({str(tmp_path / "a.png")!r})
print(loaded())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["[]", "['matplotlib']"]


def test_values_of_a_float32_result_are_drawn(tmp_path):
    source = candles(9)
    narrow = result("A", days(9))
    narrow._values.update({name: source[name].astype(np.float32) for name in source.columns})
    narrow.plot(tmp_path / "a.png")

    assert (tmp_path / "a.png").exists()
