"""Central moments of blocks of rows that may have gaps, and how those of two neighbours make those of both.

A mean is carried as one value of its block and the mean's distance from that value: for equal values the distance is
exactly 0, and for values that are large beside their differences nothing is rounded away. Blocks are merged as in
Chan, Golub and LeVeque (1979), higher moments as in Pébay (2008, SAND2008-6212); a block without rows changes no bit
of the other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.folding import State, fold_windows
from candelabra_server.formulas.kernels.window_lengths import rows_to_fold

__all__ = ["Means", "Shares", "central_moments", "merge_means", "shares", "squared_deviations"]


class Shares(NamedTuple):
    """How many rows two neighbouring blocks have.

    Attributes:
        counts: of both together.
        newer_counts: of the newer block.
        newer_any: whether the newer block has any.
        both: whether each of them has any.
        complete: whether that is so everywhere.
        older: the older block's share of all.
    """

    counts: FloatColumn
    newer_counts: FloatColumn
    newer_any: npt.NDArray[np.bool_]
    both: npt.NDArray[np.bool_]
    complete: bool
    older: FloatColumn

    @property
    def spread(self) -> FloatColumn:
        """What a product of two differences between the blocks' means weighs in the sum of all rows."""
        return self.newer_counts * self.older


class Means(NamedTuple):
    """Of the merged block: one value, the mean's distance from it, and how far apart the blocks' means were."""

    value: FloatColumn
    distance: FloatColumn
    difference: FloatColumn


def shares(older_counts: FloatColumn, newer_counts: FloatColumn) -> Shares:
    """From the number of present rows in each block."""
    counts = older_counts + newer_counts
    newer_any = newer_counts > 0
    both = newer_any & (older_counts > 0)
    return Shares(counts, newer_counts, newer_any, both, bool(both.all()), older_counts / np.maximum(counts, 1))


def merge_means(
    older_value: FloatColumn,
    older_distance: FloatColumn,
    newer_value: FloatColumn,
    newer_distance: FloatColumn,
    parts: Shares,
) -> Means:
    """The mean of both blocks; the newer block's value stays, so that what is carried depends on the newest rows."""
    apart = (newer_value - older_value) + (newer_distance - older_distance)
    if parts.complete:
        return Means(newer_value, newer_distance - apart * parts.older, apart)
    # A block without rows stands at 0, which is far from a large price: the square of that would overflow.
    difference = np.where(parts.both, apart, 0.0)
    return Means(
        np.where(parts.newer_any, newer_value, older_value),
        np.where(parts.newer_any, newer_distance - difference * parts.older, older_distance),
        difference,
    )


def squared_deviations(column: FloatColumn, window: int) -> tuple[FloatColumn, FloatColumn, FloatColumn, FloatColumn]:
    """What is finite in the last `window` rows (0: in all rows so far).

    Returns:
        How many values there are, one of them, the mean's distance from it, and the sum of squared deviations from
        the mean; all 0 where there are none.
    """
    single_rows = (*_single_rows(column), np.zeros(len(column)))
    counts, value, distance, squares = fold_windows(single_rows, rows_to_fold(window, len(column)), _merge_squares)
    return counts, value, distance, squares


def central_moments(column: FloatColumn, window: int) -> tuple[FloatColumn, FloatColumn, FloatColumn, FloatColumn]:
    """What is finite in the last `window` rows (0: in all rows so far).

    Returns:
        How many values there are, and the sums of the second, third and fourth powers of their deviations from the
        mean; all 0 where there are none.
    """
    nothing = np.zeros(len(column))
    single_rows = (*_single_rows(column), nothing, nothing, nothing)
    counts, _, _, squares, cubes, fourths = fold_windows(
        single_rows, rows_to_fold(window, len(column)), _merge_fourth_powers
    )
    return counts, squares, cubes, fourths


def _single_rows(column: FloatColumn) -> State:
    present = np.isfinite(column)
    return present.astype(np.float64), np.where(present, column, 0.0), np.zeros(len(column))


def _merge_squares(older: State, newer: State, _older_rows: int, _newer_rows: int) -> State:
    parts = shares(older[0], newer[0])
    means = merge_means(older[1], older[2], newer[1], newer[2], parts)
    squares = older[3] + newer[3] + means.difference * means.difference * parts.spread
    return parts.counts, means.value, means.distance, squares


def _merge_fourth_powers(older: State, newer: State, _older_rows: int, _newer_rows: int) -> State:
    parts = shares(older[0], newer[0])
    means = merge_means(older[1], older[2], newer[1], newer[2], parts)
    apart = means.difference
    apart_squared = apart * apart
    there, here = parts.older, 1 - parts.older
    _, _, _, older_squares, older_cubes, older_fourths = older
    _, _, _, newer_squares, newer_cubes, newer_fourths = newer
    squares = older_squares + newer_squares + apart_squared * parts.spread
    cubes = (
        older_cubes
        + newer_cubes
        + apart * apart_squared * parts.spread * (there - here)
        + 3 * apart * (there * newer_squares - here * older_squares)
    )
    fourths = (
        older_fourths
        + newer_fourths
        + apart_squared * apart_squared * parts.spread * (there * there - there * here + here * here)
        + 6 * apart_squared * (there * there * newer_squares + here * here * older_squares)
        + 4 * apart * (there * newer_cubes - here * older_cubes)
    )
    return parts.counts, means.value, means.distance, squares, cubes, fourths
