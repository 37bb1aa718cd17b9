"""How far the compiled kernels may be from the exact values, on series made to break running sums.

With u = 2^-53 and L = log2(n) + 1 for a window of n rows, a bound is STEPS * L * u times the scale that stands beside
the kernel: every value goes through about 2 log2(n) merges, each of a few roundings, and nothing is subtracted that was
added before. What underflows is off by LEAST at most.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from candelabra_server.domain.candles import Candles
from candelabra_server.formulas.operations.operation import decay
from candelabra_server.formulas.service import FormulaService

UNIT = 2.0**-53
STEPS = 8
LEAST = 1e-300
WINDOWS = (2, 5, 20, 33, 60)
ROWS = 100


def series() -> dict[str, np.ndarray]:
    chance = np.random.default_rng(11)
    noise = chance.normal(size=ROWS)
    return {
        "noise": 100 + noise,
        "a spike that leaves": np.concatenate((100 + noise[:20], [1e12], 100 + noise[21:])),
        "flat after noise": np.concatenate((100 + 50 * noise[:30], np.full(ROWS - 30, 33.3))),
        "huge beside its changes": 1e9 + np.round(8 * noise) * 2.0**-10,
        "signs that change": np.where(np.arange(ROWS) % 2, 1e8, -1e8) + noise,
        "of all sizes": noise * 10.0 ** chance.integers(-9, 9, size=ROWS),
        "denormal": np.round(50 * noise) * 5e-324,
    }


SERIES = series()


def values(formula: str, close: np.ndarray, volume: np.ndarray | None = None) -> np.ndarray:
    fields = {"close": close, "volume": close if volume is None else volume}
    candles = Candles("X", np.arange(len(close), dtype=np.int64), fields)
    return FormulaService().compile(formula, parameters={}).evaluate(candles)[0].copy()


class Window:
    """One full window in exact arithmetic."""

    def __init__(self, left: np.ndarray, right: np.ndarray) -> None:
        self.values = [Fraction(value) for value in left]
        self.others = [Fraction(value) for value in right]
        self.n = len(self.values)
        self.mean = sum(self.values) / self.n
        self.deviations: list[Any] = [value - self.mean for value in self.values]
        other_mean = sum(self.others) / self.n
        self.other_deviations = [value - other_mean for value in self.others]
        middle = Fraction(self.n - 1, 2)
        self.places = [place - middle for place in range(self.n)]

    def is_nearly_flat(self) -> bool:
        """Whether Qlib's operators take one of the columns for flat, or nearly."""
        squares = (self.powers(2), self.product(self.other_deviations, self.other_deviations))
        return any(root(sum_of_squares / self.n) < 1e-4 for sum_of_squares in squares)

    def powers(self, power: int) -> Fraction:
        return sum((abs(deviation) ** power for deviation in self.deviations), Fraction(0))

    def product(self, left, right) -> Fraction:
        return sum((a * b for a, b in zip(left, right, strict=True)), Fraction(0))


def root(value: Fraction) -> float:
    """Of a fraction that may be too small for a float."""
    return math.sqrt(value) if value == 0 or value > Fraction(1, 10**290) else 0.0


def skewness(window: Window) -> tuple[float, float]:
    n, squares = window.n, window.powers(2)
    cubes = sum(deviation**3 for deviation in window.deviations)
    factor = n * math.sqrt(n - 1) / (n - 2) / float(squares) ** 1.5
    return factor * float(cubes), factor * float(window.powers(3))


def kurtosis(window: Window) -> tuple[float, float]:
    n, squares = window.n, window.powers(2)
    factor = Fraction(n * (n + 1) * (n - 1), (n - 2) * (n - 3))
    raw = factor * window.powers(4) / squares**2
    less = Fraction(3 * (n - 1) ** 2, (n - 2) * (n - 3))
    return float(raw - less), float(raw + less)


def covariance(window: Window) -> tuple[float, float]:
    products = window.product(window.deviations, window.other_deviations)
    scale = root(window.powers(2) * window.product(window.other_deviations, window.other_deviations))
    return float(products / (window.n - 1)), scale / (window.n - 1)


def correlation(window: Window) -> tuple[float, float]:
    exact, scale = covariance(window)
    return exact / scale, 1.0


def line(window: Window) -> tuple[Fraction, Fraction]:
    places = window.product(window.places, window.places)
    return window.product(window.places, window.deviations) / places, places


def slope(window: Window) -> tuple[float, float]:
    exact, places = line(window)
    return float(exact), root(window.powers(2) / places)


def fit(window: Window) -> tuple[float, float]:
    exact, places = line(window)
    return float(exact**2 * places / window.powers(2)), 1.0


def residual(window: Window) -> tuple[float, float]:
    exact, _ = line(window)
    return float(window.deviations[-1] - exact * window.places[-1]), root(window.powers(2))


def variance(window: Window) -> tuple[float, float]:
    exact = float(window.powers(2) / (window.n - 1))
    return exact, exact


def deviation(window: Window) -> tuple[float, float]:
    exact = root(window.powers(2) / (window.n - 1))
    return exact, exact


def mean(window: Window) -> tuple[float, float]:
    return float(window.mean), float(sum(map(abs, window.values)) / window.n)


def total(window: Window) -> tuple[float, float]:
    return float(sum(window.values)), float(sum(map(abs, window.values)))


def weighted_mean(window: Window) -> tuple[float, float]:
    weights = [Fraction(2 * (place + 1), window.n * (window.n + 1)) for place in range(window.n)]
    return (
        float(window.product(weights, window.values)),
        float(window.product(weights, [abs(value) for value in window.values])),
    )


def mean_deviation(window: Window) -> tuple[float, float]:
    exact = float(window.powers(1) / window.n)
    return exact, window.n * exact


KERNELS = {
    "Sum($close, {n})": total,
    "Mean($close, {n})": mean,
    "sma(close, {n})": mean,
    "wma(close, {n})": weighted_mean,
    "Var($close, {n})": variance,
    "Std($close, {n})": deviation,
    "Skew($close, {n})": skewness,
    "Kurt($close, {n})": kurtosis,
    "Cov($close, $volume, {n})": covariance,
    "Corr($close, $volume, {n})": correlation,
    "Slope($close, {n})": slope,
    "Rsquare($close, {n})": fit,
    "Resi($close, {n})": residual,
    "Mad($close, {n})": mean_deviation,
}
"""By formula: the exact value of a full window, and the scale of its bound."""
VARYING = {skewness, kurtosis, correlation, fit}
"""Have no value where nothing varies, or hardly anything."""


@pytest.mark.parametrize("kind", SERIES)
@pytest.mark.parametrize("formula", KERNELS)
def test_values_are_within_the_kernels_bound(formula, kind):
    close, exact_of = SERIES[kind], KERNELS[formula]
    volume = SERIES["noise"] if kind == "of all sizes" else SERIES["of all sizes"] * 1e3
    for n in WINDOWS:
        if (exact_of is skewness and n < 3) or (exact_of is kurtosis and n < 4):
            continue
        found = values(formula.format(n=n), close, volume)
        for row in range(n - 1, ROWS):
            window = Window(close[row + 1 - n : row + 1], volume[row + 1 - n : row + 1])
            if exact_of in VARYING and window.is_nearly_flat():
                continue
            exact, scale = exact_of(window)
            bound = STEPS * (math.log2(n) + 1) * UNIT * scale + LEAST
            assert abs(found[row] - exact) <= bound, f"row {row} of {n}: {abs(found[row] - exact) / bound:.2f} bounds"


@pytest.mark.parametrize("alpha", [0.05, 0.5])
@pytest.mark.parametrize("kind", SERIES)
def test_an_exponential_average_is_within_its_bound(kind, alpha):
    close = SERIES[kind]
    found = values(f"EMA($close, {alpha})", close)
    keep, rows = 1 - Fraction(alpha), decay(alpha) + 1  # what is older weighs less than 1e-14, and is left out
    for row in range(ROWS):
        window = [Fraction(value) for value in reversed(close[max(0, row + 1 - rows) : row + 1])]
        weights = [keep**age for age in range(len(window))]
        exact, scale = (
            float(sum(weight * value for weight, value in zip(weights, of, strict=True)) / sum(weights))
            for of in (window, [abs(value) for value in window])
        )
        bound = STEPS * (math.log2(len(window)) + 1) * UNIT * scale + LEAST
        assert abs(found[row] - exact) <= bound, f"row {row}: {abs(found[row] - exact) / bound:.2f} bounds"


def test_a_flat_window_has_a_deviation_of_exactly_nothing():
    for n in WINDOWS:
        for formula in ("Std($close, {n})", "Var($close, {n})", "Mad($close, {n})", "Slope($close, {n})"):
            found = values(formula.format(n=n), SERIES["flat after noise"])
            assert (found[30 + n - 1 :] == 0).all()


def test_what_has_left_the_window_leaves_no_trace():
    spiked = SERIES["a spike that leaves"]
    for n in WINDOWS:
        for formula in KERNELS:
            if n < 4:
                continue
            plain = spiked.copy()
            plain[20] = 100.0
            after = slice(20 + n, None)
            assert np.array_equal(
                values(formula.format(n=n), spiked)[after], values(formula.format(n=n), plain)[after], equal_nan=True
            )
