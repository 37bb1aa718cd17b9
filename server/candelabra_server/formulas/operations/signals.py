"""Operations of signals, of state, and of how a value stands in its window."""

from __future__ import annotations

from candelabra_server.formulas.kernels import full_pairs, full_windows, percent_rank, state, turning_points
from candelabra_server.formulas.operations.operation import MissingCause, Operation, candles, whole_history, window

__all__ = ["SIGNAL_OPERATIONS"]


def _around(left: int, right: int) -> int:
    return left + right


def _rank_nanos(rows: int) -> float:
    return 0.7 * min(rows, percent_rank.LONGEST_BY_LAG) + 10.0


SIGNAL_OPERATIONS = (
    Operation(
        name="bars_since",
        kernel=state.bars_since,
        warm_up=whole_history,
        missing=MissingCause.WARM_UP,
        nanos=lambda *_: 20.0,
    ),
    Operation(
        name="value_when",
        kernel=state.value_when,
        warm_up=whole_history,
        missing=MissingCause.WARM_UP,
        nanos=lambda *_: 25.0,
    ),
    Operation(name="streak", kernel=state.streak, warm_up=whole_history, nanos=lambda *_: 20.0),
    Operation(
        name="last_present",
        kernel=state.last_present,
        warm_up=whole_history,
        missing=MissingCause.WARM_UP,
        nanos=lambda *_: 20.0,
    ),
    Operation(
        name="highest_so_far",
        kernel=state.highest_so_far,
        warm_up=whole_history,
        missing=MissingCause.WARM_UP,
        nanos=lambda *_: 4.0,
    ),
    Operation(name="count_if", kernel=turning_points.count_if, warm_up=window),
    Operation(name="highest_bars", kernel=turning_points.highest_bars, warm_up=window),
    Operation(name="lowest_bars", kernel=turning_points.lowest_bars, warm_up=window),
    Operation(
        name="pivot_high",
        kernel=turning_points.pivot_high,
        warm_up=_around,
        missing=MissingCause.WARM_UP,
        nanos=lambda *_: 12.0,
    ),
    Operation(
        name="pivot_low",
        kernel=turning_points.pivot_low,
        warm_up=_around,
        missing=MissingCause.WARM_UP,
        nanos=lambda *_: 12.0,
    ),
    Operation(name="percent_rank", kernel=percent_rank.percent_rank, warm_up=candles, nanos=_rank_nanos),
    Operation(
        name="standard_score",
        kernel=full_windows.standard_score,
        warm_up=window,
        missing=MissingCause.FLAT_WINDOW,
    ),
    Operation(name="covariance", kernel=full_pairs.covariance, warm_up=window),
    Operation(
        name="correlation",
        kernel=full_pairs.correlation,
        warm_up=window,
        missing=MissingCause.FLAT_WINDOW,
    ),
    Operation(name="beta", kernel=full_pairs.beta, warm_up=window, missing=MissingCause.FLAT_WINDOW),
)
