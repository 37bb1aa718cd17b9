"""Two columns over windows that must be full: correlation, covariance and beta.

A value needs `window` rows in which both columns are there and finite, else it is NaN. The moments are merged about
their means, never taken as differences of sums, so that a large level costs no digits and a flat window is exactly
flat.
"""

from __future__ import annotations

import numpy as np

from candelabra_server.domain.candles import FloatColumn
from candelabra_server.formulas.kernels.pair_windows import pair_moments

__all__ = ["beta", "correlation", "covariance"]


def covariance(first: FloatColumn, second: FloatColumn, window: int) -> FloatColumn:
    """The sample's covariance (divisor `window` - 1) of the last `window` rows."""
    counts, _, _, _, _, products = pair_moments(first, second, window)
    return _full(products / (window - 1), counts, window)


def correlation(first: FloatColumn, second: FloatColumn, window: int) -> FloatColumn:
    """Pearson's correlation, -1 to 1, of the last `window` rows; NaN where either column is flat."""
    counts, _, _, first_squares, second_squares, products = pair_moments(first, second, window)
    ratio = products / (np.sqrt(first_squares) * np.sqrt(second_squares))
    return _full(np.clip(ratio, -1.0, 1.0), counts, window)


def beta(first: FloatColumn, second: FloatColumn, window: int) -> FloatColumn:
    """The slope of `first` on `second`: their covariance by the variance of `second`; NaN where that is flat."""
    counts, _, _, _, second_squares, products = pair_moments(first, second, window)
    return _full(products / second_squares, counts, window)


def _full(values: FloatColumn, counts: FloatColumn, window: int) -> FloatColumn:
    return np.where(counts == window, values, np.nan)
