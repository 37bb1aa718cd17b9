"""Windows over two columns: rows in which both are finite count, the others are passed over."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.folding import State, fold_windows
from candelabra_server.formulas.kernels.moments import merge_means, shares, squared_deviations
from candelabra_server.formulas.kernels.window_lengths import rows_to_fold

__all__ = ["FLAT_DEVIATION", "PairMoments", "fold_pairs", "pair_moments", "rolling_correlation", "rolling_covariance"]

FLAT_DEVIATION = 2e-5
"""A window whose standard deviation is not above this is flat: Qlib's bound, in units of the values."""

PairMoments = tuple[FloatColumn, FloatColumn, FloatColumn, FloatColumn, FloatColumn, FloatColumn]


def pair_moments(left: FloatColumn, right: FloatColumn, window: int) -> PairMoments:
    """Moments of the rows of each window in which both columns are finite.

    The bits at a row depend on the rows of its window and on nothing else.

    Args:
        left: a column.
        right: another of the same length.
        window: rows, 1 or more; 0 is all rows so far. May be longer than the columns.

    Returns:
        counts: how many rows count.
        mean_left, mean_right: means over those rows; NaN where there are none.
        squares_left, squares_right, products: sums, over those rows, of the squared deviations from the means and of
            their products; 0 where there are fewer than two.
    """
    counts, value_left, distance_left, value_right, distance_right, *sums = fold_pairs(left, right, window)
    some = counts > 0
    squares_left, squares_right, products = sums
    return (
        counts,
        np.where(some, value_left + distance_left, np.nan),
        np.where(some, value_right + distance_right, np.nan),
        squares_left,
        squares_right,
        products,
    )


def rolling_covariance(left: FloatColumn, right: FloatColumn, window: int) -> FloatColumn:
    """The sample's covariance (divisor: rows less one) of what both have; NaN for fewer than two rows."""
    counts, *_, products = fold_pairs(left, right, window)
    return products / np.where(counts > 1, counts - 1, np.nan)


def rolling_correlation(left: FloatColumn, right: FloatColumn, window: int) -> FloatColumn:
    """Pearson's correlation of the rows that both have, between -1 and 1.

    NaN for fewer than two rows, and where either column is flat in the window: where the standard deviation of all
    its own values there, also of those beside which the other column has none, is at most FLAT_DEVIATION.
    """
    counts, *_, squares_left, squares_right, products = fold_pairs(left, right, window)
    # Root by root: the product of both sums may be too large for a float, or too small.
    correlation = products / np.sqrt(squares_left) / np.sqrt(squares_right)
    if np.array_equal(np.isfinite(left), np.isfinite(right)):
        flat = _is_flat(counts, squares_left) | _is_flat(counts, squares_right)
    else:
        flat = _has_flat_windows(left, window) | _has_flat_windows(right, window)
    known = (squares_left > 0) & (squares_right > 0) & ~flat
    return np.where(known, np.clip(correlation, -1.0, 1.0), np.nan)


def fold_pairs(left: FloatColumn, right: FloatColumn, window: int) -> State:
    """As pair_moments, with each mean as one value and the mean's distance from it (see moments.py).

    Returns:
        counts, value_left, distance_left, value_right, distance_right, squares_left, squares_right, products; all 0
        where there are no rows.
    """
    present = np.isfinite(left) & np.isfinite(right)
    nothing = np.zeros(len(left))
    single_rows = (
        present.astype(np.float64),
        np.where(present, left, 0.0),
        nothing,
        np.where(present, right, 0.0),
        nothing,
        nothing,
        nothing,
        nothing,
    )
    return fold_windows(single_rows, rows_to_fold(window, len(left)), _merge_pairs)


def _merge_pairs(older: State, newer: State, _older_rows: int, _newer_rows: int) -> State:
    parts = shares(older[0], newer[0])
    left = merge_means(older[1], older[2], newer[1], newer[2], parts)
    right = merge_means(older[3], older[4], newer[3], newer[4], parts)
    return (
        parts.counts,
        left.value,
        left.distance,
        right.value,
        right.distance,
        older[5] + newer[5] + left.difference * left.difference * parts.spread,
        older[6] + newer[6] + right.difference * right.difference * parts.spread,
        older[7] + newer[7] + left.difference * right.difference * parts.spread,
    )


def _has_flat_windows(column: FloatColumn, window: int) -> npt.NDArray[np.bool_]:
    counts, _, _, squares = squared_deviations(column, window)
    return _is_flat(counts, squares)


def _is_flat(counts: FloatColumn, squares: FloatColumn) -> npt.NDArray[np.bool_]:
    return np.sqrt(squares / np.where(counts > 1, counts - 1, np.nan)) <= FLAT_DEVIATION
