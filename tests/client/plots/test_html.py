import base64
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from candelabra_client._plots.html import MOST_ROWS, draw_html
from candelabra_client._plots.layout import lay_out
from support.charts import candles, days, result

NAN = float("nan")


class Page(HTMLParser):
    """What a browser would find: texts, scripts, and every address that it would fetch."""

    def __init__(self, source):
        super().__init__()
        self.addresses, self.scripts, self.texts, self.tags = [], [], [], [""]
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in {"src", "href", "srcset", "data", "action"}]

    def handle_data(self, data):
        (self.scripts if self.tags[-1] == "script" else self.texts).append(data)

    @property
    def figures(self):
        """The traces and the layout of every chart."""
        found = []
        for script in self.scripts:
            if "Plotly.newPlot(" in script and "chart-" in script and len(script) < 1_000_000:
                decoder, at = json.JSONDecoder(), script.index("[", script.index("Plotly.newPlot("))
                traces, end = decoder.raw_decode(script, at)
                layout, _ = decoder.raw_decode(script, script.index("{", end))
                found.append((traces, layout))
        return found


def page(*charts):
    return Page(draw_html(charts).decode())


def values(data):
    if isinstance(data, dict):
        return np.frombuffer(base64.b64decode(data["bdata"]), data["dtype"]).tolist()
    return data


def chart(count=60, *, signals=(), formula="a", **columns):
    columns = result("AAPL", days(count), signals=signals, **columns)
    return lay_out(columns, candles=candles(count), formula=formula, timeframe="1d")


def test_the_page_holds_the_candles_and_the_columns():
    average = candles(60)["close"] + 1
    [(traces, layout)] = page(chart(average=average, pane__macd=np.ones(60), pane__hist=np.ones(60))).figures
    by_name = {trace["name"]: trace for trace in traces}

    assert [trace["type"] for trace in traces] == ["candlestick", "scatter", "scatter", "bar", "bar"]
    for name in ("open", "high", "low", "close"):
        assert values(traces[0][name]) == candles(60)[name].tolist()
    assert values(by_name["average"]["y"]) == average.tolist()
    assert traces[0]["x"][:2] == ["2012-01-01", "2012-01-02"]
    assert (by_name["average"]["yaxis"], by_name["pane.macd"]["yaxis"], by_name["pane.hist"]["yaxis"]) == (
        "y",
        "y2",
        "y2",
    )
    assert by_name["volume"]["yaxis"] == "y3"
    assert layout["xaxis"]["type"] == "category"


def test_the_page_refers_to_nothing_outside_itself():
    found = page(chart(), lay_out(candles(5)))

    assert found.addresses == []
    assert "link" not in found.tags
    own = [script for script in found.scripts if len(script) < 1_000_000]
    assert not any(re.search(r"https?://(?!plot\.ly\b)|import\(|fetch\(|url\(", script) for script in own)
    assert len(found.figures) == 2


def test_the_library_is_in_the_page_once():
    found = page(chart(), chart())

    assert sum(len(script) > 1_000_000 for script in found.scripts) == 1


def test_missing_values_are_gaps():
    [(traces, _)] = page(chart(a=[1.0, NAN] * 30)).figures
    line = next(trace for trace in traces if trace["name"] == "a")

    assert line["connectgaps"] is False
    assert values(line["y"])[:2] == pytest.approx([1.0, NAN], nan_ok=True)


def test_signals_are_marks_below_their_candles():
    [(traces, _)] = page(chart(up=[0, 1, 0] * 20, signals=["up"])).figures
    marks = next(trace for trace in traces if trace["name"] == "up")

    assert marks["mode"] == "markers"
    assert marks["x"][:2] == ["2012-01-02", "2012-01-05"]
    assert values(marks["y"])[0] < candles(60)["low"][1]


def test_texts_of_users_stay_texts():
    nasty = "</script><img src=http://x onerror=alert(1)><b>"
    columns = result(nasty, days(3), **{nasty: [1, 2, 3]})
    found = page(lay_out(columns, candles=candles(3), formula=f"{nasty} < 3"))

    assert found.addresses == []
    assert "img" not in found.tags
    assert "".join(found.texts).count(nasty) == 3  # title, heading, formula
    assert found.figures[0][0][1]["name"] == nasty.replace("<", "&lt;").replace(">", "&gt;")


def test_times_within_a_day_are_told_apart():
    times = days(1) + np.arange(3) * 300_000_000
    [(traces, _)] = page(lay_out(result("A", times, a=[1, 2, 3]))).figures

    assert traces[0]["x"] == ["2012-01-01 00:00", "2012-01-01 00:05", "2012-01-01 00:10"]


@pytest.mark.parametrize("count", [0, 1, MOST_ROWS + 1])
def test_any_number_of_rows_can_be_drawn(count):
    [(traces, _)] = page(chart(count, a=np.zeros(count))).figures

    assert len(traces[0].get("x", [])) <= MOST_ROWS


def test_columns_without_candles_can_be_drawn():
    [(traces, _)] = page(lay_out(result("A", days(2), a=[1, 2]))).figures

    assert [trace["type"] for trace in traces] == ["scatter"]
