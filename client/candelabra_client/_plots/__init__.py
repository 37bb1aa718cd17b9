"""Pictures of results: candles with a formula's columns over and under them.

1. `layout.py` decides what goes where and makes a `Chart` (`chart.py`), which knows nothing of how it is drawn.
2. `aggregation.py` puts candles together where there are more than the picture has room for.
3. `png.py`, `html.py` and `terminal.py` draw it, each with a library of its own that is imported when it draws:
   matplotlib, plotly and rich. `scales.py` and `theme.py` are what they share; `page.py` is the HTML around
   plotly's figures, `canvas.py` the terminal's grid of characters.
4. `target.py` reads where to draw to, and writes it there.

Importing this package imports none of the three libraries.
"""

from candelabra_client._plots.layout import lay_out, lay_out_all
from candelabra_client._plots.target import MOST_SYMBOLS, PlotKind, Target, check_symbol_count

__all__ = ["MOST_SYMBOLS", "PlotKind", "Target", "check_symbol_count", "lay_out", "lay_out_all"]
