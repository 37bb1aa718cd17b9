import io
import sys
from types import ModuleType

import pytest
from rich.console import Console

from candelabra_client import Client, MissingDependency, Progress, progress_bar
from candelabra_client._commands.progress import ProgressBar
from support.scripted_server import serving


def terminal(**options):
    return Console(file=io.StringIO(), width=100, force_terminal=True, color_system=None, **options)


class Notebook(ModuleType):
    """Stands in for `IPython.display`."""

    def __init__(self):
        super().__init__("IPython.display")
        self.shown = []

    def display(self, bar, *, display_id):
        assert display_id
        self.update(bar)
        return self

    def update(self, bar):
        console = terminal()
        console.print(bar.get_renderable())
        self.shown.append(console.file.getvalue())


def test_a_bar_shows_how_far_a_job_or_a_screen_is_and_stays():
    console = terminal()
    with ProgressBar(console, label="Looking", transient=False) as bar, serving() as address, Client(address) as client:
        client.process(["A", "NOPE", "B"], timeframe="1d", progress=bar).results()
        client.screen("close", timeframe="1d", symbols=["A", "NOPE", "B", "C"], progress=bar).results()

    last = [line for line in console.file.getvalue().splitlines() if "symbols" in line][-1]
    assert "Looking" in last
    assert "4/4 symbols" in last
    assert "1 failed" in last


def test_work_that_begins_anew_starts_the_clock_again():
    bar = ProgressBar(terminal())
    with bar:
        bar(Progress(5, 9, 0))
        (task,) = bar._bar.tasks
        first_start = task.start_time
        bar(Progress(6, 9, 0))
        assert task.start_time == first_start
        bar(Progress(1, 3, 0))

        assert task.start_time > first_start
        assert (task.completed, task.total) == (1, 3)


def test_nothing_is_shown_where_nobody_would_see_it():
    console = Console(file=io.StringIO())
    with ProgressBar(console) as bar:
        bar(Progress(1, 2, 0))
    with ProgressBar(terminal(), wanted=False) as bar:
        bar(Progress(1, 2, 0))

    assert console.file.getvalue() == ""


def test_a_notebook_shows_the_bar_without_widgets(monkeypatch):
    notebook = Notebook()
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", notebook)
    with ProgressBar(Console(file=io.StringIO(), force_jupyter=True), transient=False) as bar:
        bar(Progress(1, 2, 0))
        bar(Progress(2, 2, 1))

    assert "1/2 symbols" in notebook.shown[1]
    assert "2/2 symbols" in notebook.shown[-1]
    assert "1 failed" in notebook.shown[-1]


def test_a_bar_outside_its_block_says_how_to_use_it():
    bar = ProgressBar(terminal())
    with pytest.raises(RuntimeError, match=r"with progress_bar\(\) as bar"):
        bar(Progress(1, 2, 0))


def test_the_public_bar_is_the_commands_own():
    with progress_bar("Looking") as bar:
        assert isinstance(bar, ProgressBar)
        bar(Progress(1, 2, 0))


def test_without_rich_the_bar_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich.console", None)
    with pytest.raises(MissingDependency, match=r"needs rich, .* pip install 'candelabra\[cli\]'"):
        progress_bar()
