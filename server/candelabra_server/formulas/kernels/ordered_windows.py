"""Order statistics of windows: quantiles, and how the newest value ranks.

They only select and count, so their bits depend on the window's values alone. Short windows are sorted, or compared
row by row. Long ones, and those of all rows so far, are found by halving: values become ranks in the whole column,
which is split by the ranks' highest bit into a lower and an upper half, then each half by the next bit, and so on. A
window is a stretch of rows, and stays one in each half, so every bit narrows all windows at once; time grows with
rows times the logarithm of their number, whatever the window is.

Missing and infinite rows are passed over; a window of 0 is all rows so far.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from candelabra_server.domain.candles import FloatColumn

__all__ = ["LONGEST_SHORT", "rolling_quantile", "rolling_rank"]

_Integers = npt.NDArray[np.intp]

LONGEST_SHORT = 64
"""Up to this window, looking at every value of it is faster."""
_VALUES_AT_ONCE = 32_768


def rolling_quantile(column: FloatColumn, window: int, share: float) -> FloatColumn:
    """The value below which `share` (0 to 1) of what is there lies; 0.5 gives the median. NaN where nothing is.

    Between two values it is interpolated linearly, as pandas does.
    """
    present = np.isfinite(column)
    stretch = _Stretch.of_windows(present, window)
    counts = stretch.stop - stretch.first
    some = counts > 0
    place = share * np.maximum(counts - 1, 0)
    below = np.floor(place).astype(np.intp)
    part = place - below
    above = below + (part > 0)
    if 0 < window <= LONGEST_SHORT:
        low, high = _selected_by_sorting(np.where(present, column, np.nan), window, below, above)
    else:
        low, high = _selected_by_halving(column[present], stretch, below, above)
    return np.where(some, low + (high - low) * part, np.nan)


def rolling_rank(column: FloatColumn, window: int) -> FloatColumn:
    """The rank of the newest value among what is there, over how many there are: more than 0, up to 1 for the largest.

    Equal values share the mean of their ranks. NaN where the newest value is missing.
    """
    present = np.isfinite(column)
    stretch = _Stretch.of_windows(present, window)
    if 0 < window <= LONGEST_SHORT:
        less, equal = _counted_one_by_one(np.where(present, column, np.nan), window)
    else:
        less, equal = _counted_by_halving(column, present, stretch)
    counts = np.where(present, stretch.stop - stretch.first, np.nan)
    return (less + (equal + 1) / 2) / counts


class _Stretch(NamedTuple):
    """Windows as stretches of present rows: from `first` up to `stop`, which is not part of it."""

    first: _Integers
    stop: _Integers

    @classmethod
    def of_windows(cls, present: npt.NDArray[np.bool_], window: int) -> _Stretch:
        stop = np.cumsum(present, dtype=np.intp)
        first = np.zeros(len(present), dtype=np.intp)
        if window:
            first[window:] = stop[:-window]
        return cls(first, stop)

    def narrowed(self, half: _Half, upper: npt.NDArray[np.bool_]) -> _Stretch:
        """The part of every stretch that is in the upper or the lower half."""
        first_lower, stop_lower = half.lower_before[self.first], half.lower_before[self.stop]
        lower = half.lower_before[-1]
        return _Stretch(
            np.where(upper, lower + self.first - first_lower, first_lower),
            np.where(upper, lower + self.stop - stop_lower, stop_lower),
        )


class _Half(NamedTuple):
    """One split: by which bit, and how many of the rows before each are in the lower half."""

    bit: int
    lower_before: _Integers

    def lower_in(self, stretch: _Stretch) -> _Integers:
        return self.lower_before[stretch.stop] - self.lower_before[stretch.first]


def _halves(ranks: _Integers, distinct: int) -> Iterator[_Half]:
    """Splits by bit, the highest first; after each, all lower halves come before all upper ones, in order of rows."""
    for bit in reversed(range((distinct - 1).bit_length())):
        lower = (ranks >> bit & 1) == 0
        lower_before = np.zeros(len(ranks) + 1, dtype=np.intp)
        np.cumsum(lower, out=lower_before[1:])
        yield _Half(bit, lower_before)
        ranks = np.concatenate((ranks[lower], ranks[~lower]))


def _selected_by_halving(
    values: FloatColumn, stretch: _Stretch, below: _Integers, above: _Integers
) -> tuple[FloatColumn, FloatColumn]:
    """The values that have `below` and `above` others before them; any value where there is none."""
    if not len(values):
        nothing = np.full(len(below), np.nan)
        return nothing, nothing
    distinct, ranks = np.unique(values, return_inverse=True)
    place = np.concatenate((below, above))
    stretch = _Stretch(*(np.concatenate((rows, rows)) for rows in stretch))
    found = np.zeros(len(place), dtype=np.intp)
    for half in _halves(ranks, len(distinct)):
        lower = half.lower_in(stretch)
        upper = place >= lower
        place = place - np.where(upper, lower, 0)
        stretch = stretch.narrowed(half, upper)
        found |= upper.astype(np.intp) << half.bit
    # A stretch of no rows narrows to the upper end, which may be no rank.
    low, high = np.split(distinct[np.minimum(found, len(distinct) - 1)], 2)
    return low, high


def _counted_by_halving(
    column: FloatColumn, present: npt.NDArray[np.bool_], stretch: _Stretch
) -> tuple[FloatColumn, FloatColumn]:
    """How many values of the window are less than the newest, and how many equal it, itself included."""
    distinct, ranks = np.unique(column[present], return_inverse=True)
    stretch = _Stretch(*(rows[present] for rows in stretch))
    counted = np.zeros(len(ranks), dtype=np.intp)
    for half in _halves(ranks, len(distinct)):
        upper = (ranks >> half.bit & 1) == 1
        counted += np.where(upper, half.lower_in(stretch), 0)
        stretch = stretch.narrowed(half, upper)
    less, equal = np.zeros(len(column)), np.zeros(len(column))
    less[present], equal[present] = counted, stretch.stop - stretch.first
    return less, equal


def _selected_by_sorting(
    column: FloatColumn, window: int, below: _Integers, above: _Integers
) -> tuple[FloatColumn, FloatColumn]:
    """As _selected_by_halving, from columns whose missing rows are NaN, which sort last."""
    padded = np.concatenate((np.full(window - 1, np.nan), column))
    low, high = np.empty(len(column)), np.empty(len(column))
    rows_at_once = _VALUES_AT_ONCE // window
    for start in range(0, len(column), rows_at_once):
        rows = slice(start, min(start + rows_at_once, len(column)))
        windows = np.lib.stride_tricks.sliding_window_view(padded[rows.start : rows.stop + window - 1], window)
        ordered = np.sort(windows, axis=1)
        numbers = np.arange(len(ordered))
        low[rows], high[rows] = ordered[numbers, below[rows]], ordered[numbers, above[rows]]
    return low, high


def _counted_one_by_one(column: FloatColumn, window: int) -> tuple[FloatColumn, FloatColumn]:
    """As _counted_by_halving, from columns whose missing rows are NaN, which are neither less nor equal."""
    less, equal = np.zeros(len(column)), np.ones(len(column))
    for age in range(1, min(window, len(column))):
        less[age:] += column[:-age] < column[age:]
        equal[age:] += column[:-age] == column[age:]
    return less, equal
