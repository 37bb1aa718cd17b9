"""Which compiled kernel serves which operation: the one table that decides it.

What is not here is computed by the operation's own kernel: numpy, or TA-Lib for what it alone defines.
"""

from __future__ import annotations

from dataclasses import dataclass

from candelabra_server.formulas.compiled.opcodes import LONGEST_SLID, Opcode, RowOp, Statistic

__all__ = ["BUNDLES", "BUNDLE_OUTPUTS", "ROW_NANOS", "ROW_OPERATIONS", "Bundled", "bundle_nanos"]


@dataclass(frozen=True, slots=True)
class Bundled:
    """How an operation is one entry of a bundle.

    Attributes:
        opcode: the bundle's kind: one pass over its column, or its two, fills all entries.
        statistic: what the entry asks for.
        window: which of the operation's settings is the window; None: all rows so far.
        shared: which setting belongs to the whole bundle, such as the weight of an average; None: none.
        own: which setting belongs to the entry, such as a quantile; None: none.
    """

    opcode: Opcode
    statistic: Statistic
    window: int | None = 0
    shared: int | None = None
    own: int | None = None


ROW_OPERATIONS = {
    "add": RowOp.ADD,
    "subtract": RowOp.SUBTRACT,
    "multiply": RowOp.MULTIPLY,
    "divide": RowOp.DIVIDE,
    "negate": RowOp.NEGATE,
    "absolute": RowOp.ABSOLUTE,
    "sign": RowOp.SIGN,
    "round": RowOp.ROUND,
    "greatest": RowOp.GREATEST,
    "least": RowOp.LEAST,
    "round_to_float32": RowOp.ROUND_TO_FLOAT32,
    "less": RowOp.LESS,
    "less_equal": RowOp.LESS_EQUAL,
    "equal": RowOp.EQUAL,
    "not_equal": RowOp.NOT_EQUAL,
    "and": RowOp.AND,
    "or": RowOp.OR,
    "not": RowOp.NOT,
    "choose": RowOp.CHOOSE,
    "is_missing": RowOp.IS_MISSING,
    "signal_or_zero": RowOp.SIGNAL_OR_ZERO,
}
"""Operations on one row at a time, which are fused in groups. Powers, logarithms and remainders stay numpy's."""

BUNDLES = {
    "rolling_sum": Bundled(Opcode.SUMS, Statistic.SUM),
    "rolling_mean": Bundled(Opcode.SUMS, Statistic.MEAN),
    "rolling_count": Bundled(Opcode.COUNTS, Statistic.COUNT_VALUES),
    "count_if": Bundled(Opcode.COUNTS, Statistic.COUNT_TRUE),
    "simple_mean": Bundled(Opcode.FULL_SUMS, Statistic.MEAN),
    "weighted_mean": Bundled(Opcode.FULL_WEIGHTED, Statistic.MEAN),
    "rolling_variance": Bundled(Opcode.MOMENTS, Statistic.VARIANCE),
    "rolling_std": Bundled(Opcode.MOMENTS, Statistic.DEVIATION),
    "standard_deviation": Bundled(Opcode.FULL_MOMENTS, Statistic.DEVIATION),
    "standard_score": Bundled(Opcode.FULL_MOMENTS, Statistic.SCORE),
    "rolling_skewness": Bundled(Opcode.HIGHER_MOMENTS, Statistic.SKEWNESS),
    "rolling_kurtosis": Bundled(Opcode.HIGHER_MOMENTS, Statistic.KURTOSIS),
    "rolling_skewness_guarded": Bundled(Opcode.HIGHER_MOMENTS, Statistic.SKEWNESS_GUARDED),
    "rolling_kurtosis_guarded": Bundled(Opcode.HIGHER_MOMENTS, Statistic.KURTOSIS_GUARDED),
    "place_weighted_mean": Bundled(Opcode.LINES, Statistic.WEIGHTED_MEAN),
    "place_weighted_mean_divided_twice": Bundled(Opcode.LINES, Statistic.WEIGHTED_MEAN_DIVIDED_TWICE),
    "rolling_covariance": Bundled(Opcode.PAIRS, Statistic.COVARIANCE),
    "rolling_correlation": Bundled(Opcode.PAIRS, Statistic.CORRELATION),
    "covariance": Bundled(Opcode.FULL_PAIRS, Statistic.COVARIANCE),
    "correlation": Bundled(Opcode.FULL_PAIRS, Statistic.CORRELATION),
    "beta": Bundled(Opcode.FULL_PAIRS, Statistic.BETA),
    "decaying_mean": Bundled(Opcode.DECAYING, Statistic.MEAN, window=1, shared=0),
    "decaying_mean_from_start": Bundled(Opcode.DECAYING, Statistic.MEAN_FROM_START, window=None, shared=0),
    "rolling_mean_deviation": Bundled(Opcode.MEAN_DEVIATIONS, Statistic.MEAN_DEVIATION),
    "rolling_max": Bundled(Opcode.HIGHEST, Statistic.VALUE),
    "rolling_min": Bundled(Opcode.LOWEST, Statistic.VALUE),
    "index_of_max": Bundled(Opcode.HIGHEST, Statistic.INDEX),
    "index_of_min": Bundled(Opcode.LOWEST, Statistic.INDEX),
    "index_of_max_or_gap": Bundled(Opcode.HIGHEST_OR_GAP, Statistic.INDEX),
    "index_of_min_or_gap": Bundled(Opcode.LOWEST_OR_GAP, Statistic.INDEX),
    "highest": Bundled(Opcode.FULL_HIGHEST, Statistic.VALUE),
    "lowest": Bundled(Opcode.FULL_LOWEST, Statistic.VALUE),
    "highest_bars": Bundled(Opcode.FULL_HIGHEST, Statistic.BARS),
    "lowest_bars": Bundled(Opcode.FULL_LOWEST, Statistic.BARS),
    "rolling_rank": Bundled(Opcode.ORDERED, Statistic.RANK),
    "rolling_quantile": Bundled(Opcode.ORDERED, Statistic.QUANTILE, own=1),
}
"""Operations over windows, which are filled together with all others of the same kind over the same column."""

BUNDLE_OUTPUTS = {
    "rolling_regression": (
        Bundled(Opcode.LINES, Statistic.SLOPE),
        Bundled(Opcode.LINES, Statistic.FIT),
        Bundled(Opcode.LINES, Statistic.RESIDUAL),
    ),
}
"""The same for operations with several columns, each an entry of its own."""

ROW_NANOS = 0.2
"""About how long one row of an elementwise operation takes, in nanoseconds."""
_LEVELS_OF_A_HISTORY = 12
_NANOS_A_LEVEL = {
    Opcode.SUMS: 0.3,
    Opcode.FULL_SUMS: 0.3,
    Opcode.FULL_WEIGHTED: 0.6,
    Opcode.MOMENTS: 1.0,
    Opcode.FULL_MOMENTS: 0.8,
    Opcode.HIGHER_MOMENTS: 2.0,
    Opcode.LINES: 2.0,
    Opcode.PAIRS: 4.0,
    Opcode.FULL_PAIRS: 3.0,
    Opcode.DECAYING: 0.6,
    Opcode.ORDERED: 8.0,
}
"""About how long a window's row takes for every doubling of the window, in nanoseconds; others take 0.5."""
_NANOS_A_SLID_VALUE = 0.15
_NANOS_A_DISTANCE = 0.3
_CANDLES_OF_A_HISTORY = 4096


def bundle_nanos(opcode: Opcode, window: int) -> float:
    """About how long one row of an entry takes, in nanoseconds; for estimates only."""
    if opcode is Opcode.ORDERED and 0 < window <= LONGEST_SLID:
        return 2.0 + _NANOS_A_SLID_VALUE * window
    if opcode is Opcode.MEAN_DEVIATIONS:
        return _NANOS_A_DISTANCE * (window or _CANDLES_OF_A_HISTORY)
    return _NANOS_A_LEVEL.get(opcode, 0.5) * (window.bit_length() if window else _LEVELS_OF_A_HISTORY)
