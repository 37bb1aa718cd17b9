"""The HTML page around plotly's figures: it holds the library, so that it asks no network for anything."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from candelabra_client._plots import theme

__all__ = ["write_page", "write_section"]

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0 auto; max-width: 1400px; padding: 12px 16px; background: {background}; color: {ink};
  font-family: system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }}
h2 {{ margin: 16px 8px 2px; font-size: 20px; }}
h2 small {{ float: right; margin-right: 56px; color: {pale}; font-weight: normal; font-size: 14px; }}
p {{ margin: 0 8px; color: {pale}; font-size: 14px; }}
</style>
<script>{library}</script>
</head>
<body>
{body}
<script>{script}</script>
</body>
</html>
"""

# When the times in view change, each scale is fitted to what is in view; the part above is for the legend. What
# begins with _ is not public in plotly.js, of which the page has the one copy that it runs with.
_FIT_SCALES = """
for (const graph of document.querySelectorAll(".plotly-graph-div")) {
  graph.on("plotly_relayout", (change) => {
    if (!Object.keys(change).some((key) => key.startsWith("xaxis."))) return;
    const [first, last] = graph._fullLayout.xaxis.range.map(Math.round), extents = {};
    for (const trace of graph._fullData) {
      const extent = (extents[trace.yaxis] ??= [Infinity, -Infinity]);
      const rows = trace.type === "scatter" && trace.mode === "markers" ? [] : [trace.low, trace.high, trace.y];
      for (const values of rows) {
        if (!values) continue;
        for (const value of Array.from(values).slice(Math.max(first, 0), last + 1)) {
          if (value === null || !isFinite(value)) continue;
          extent[0] = Math.min(extent[0], value);
          extent[1] = Math.max(extent[1], value);
        }
      }
      if (trace.type === "bar") extent[0] = Math.min(extent[0], 0);
    }
    const ranges = {};
    for (const [axis, [low, high]] of Object.entries(extents)) {
      const gap = high - low;
      const range = [low === 0 ? 0 : low - gap * 0.06, high + gap * 0.2];
      if (gap > 0) ranges[axis.replace("y", "yaxis") + ".range"] = range;
    }
    if (Object.keys(ranges).length) Plotly.relayout(graph, ranges);
  });
}
"""


def write_page(symbols: Iterable[str], sections: Iterable[str], *, library: str) -> str:
    """Returns the page; `library` is the text of plotly.js."""
    return _PAGE.format(
        title=html.escape(", ".join(symbols)),
        background=theme.BACKGROUND,
        ink=theme.INK,
        pale=theme.PALE,
        library=library,
        script=_FIT_SCALES,
        body="\n".join(sections),
    )


def write_section(symbol: str, caption: str, notes: Sequence[str], figure: str) -> str:
    """Returns one chart with its captions; `figure` is HTML, all else is text."""
    heading = f"<h2>{html.escape(symbol)} <small>{html.escape(caption)}</small></h2>"
    return "\n".join([heading, *(f"<p>{html.escape(note)}</p>" for note in notes), figure])
