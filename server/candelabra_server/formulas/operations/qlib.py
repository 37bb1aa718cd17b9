"""Operations with Qlib's rules: missing rows are skipped, and a window has a value as soon as it holds one."""

from __future__ import annotations

from candelabra_server.formulas.kernels import skipping_windows
from candelabra_server.formulas.operations.operation import Operation, window

__all__ = ["QLIB_OPERATIONS"]

QLIB_OPERATIONS = (
    Operation(name="rolling_sum", kernel=skipping_windows.rolling_sum, warm_up=window),
    Operation(name="rolling_mean", kernel=skipping_windows.rolling_mean, warm_up=window),
    Operation(name="rolling_std", kernel=skipping_windows.rolling_std, warm_up=window),
    Operation(name="rolling_max", kernel=skipping_windows.rolling_max, warm_up=window),
    Operation(name="rolling_min", kernel=skipping_windows.rolling_min, warm_up=window),
)
