"""Operations over windows that must be full, and recursive averages: technical analysis."""

from __future__ import annotations

from candelabra_server.formulas.kernels import full_windows, recursive
from candelabra_server.formulas.operations.operation import Exactness, Operation, exponential, wilder, window

__all__ = ["WINDOW_OPERATIONS"]


def _macd(fast: int, slow: int, signal: int) -> int:
    return exponential(max(fast, slow)) + exponential(signal)


WINDOW_OPERATIONS = (
    Operation(name="simple_mean", kernel=full_windows.simple_mean, warm_up=window),
    Operation(name="weighted_mean", kernel=full_windows.weighted_mean, warm_up=window),
    Operation(name="standard_deviation", kernel=full_windows.standard_deviation, warm_up=window),
    Operation(name="highest", kernel=full_windows.highest, warm_up=window),
    Operation(name="lowest", kernel=full_windows.lowest, warm_up=window),
    Operation(
        name="exponential_mean",
        nanos=lambda *_: 10.0,
        kernel=recursive.exponential_mean,
        warm_up=exponential,
        exactness=Exactness.CLOSE,
    ),
    Operation(
        name="relative_strength",
        nanos=lambda *_: 20.0,
        kernel=recursive.relative_strength,
        warm_up=wilder,
        exactness=Exactness.CLOSE,
    ),
    Operation(
        name="average_true_range",
        nanos=lambda *_: 25.0,
        kernel=recursive.average_true_range,
        warm_up=wilder,
        exactness=Exactness.CLOSE,
    ),
    Operation(name="macd", nanos=lambda *_: 30.0, kernel=recursive.macd, warm_up=_macd, exactness=Exactness.CLOSE),
)
