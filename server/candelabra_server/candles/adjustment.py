"""adjusted: candles whose prices are scaled to a column of adjusted closes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from candelabra_server.candles.candle_batch import CandleBatch
from candelabra_server.candles.column_reading import quoted, read_required
from candelabra_server.candles.price_scale import scaled
from candelabra_server.candles.problem_log import FileProblems
from candelabra_server.candles.source_table import SourceTable
from candelabra_server.domain.candles import PRICE_FIELDS

__all__ = ["adjusted"]


def adjusted(batch: CandleBatch, table: SourceTable, position: int, problems: FileProblems) -> CandleBatch:
    """Scales open, high, low and close by the column over close, and volume by the inverse.

    The column itself is not kept: it is the close from now on.
    """
    numbers = read_required(table, position, problems)
    target, close = scaled(numbers.values, batch.price_scale), batch.columns["close"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = target / close
        is_wrong = ~(np.isfinite(factor) & (factor > 0)) & ~(np.isnan(target) & np.isnan(close))
        is_wrong[numbers.bad_rows] = False
        problems.in_rows(
            np.flatnonzero(is_wrong),
            lambda row: (
                f"cannot adjust by {quoted(table.columns[position], row)} (column {table.names[position]!r}); "
                "expected a number above zero"
            ),
        )
        prices = {field: batch.columns[field] * factor for field in PRICE_FIELDS[:-1]}
        columns = {**batch.columns, **prices, "volume": batch.columns["volume"] / factor}
    return replace(batch, columns=columns)
