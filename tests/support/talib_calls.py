"""Every function of TA-Lib with some settings: how it is written as a formula, and what TA-Lib itself gives for it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from candelabra_server.domain.candles import Candles, FloatColumn
from candelabra_server.formulas.catalogue import FUNCTIONS, Family, Function, SettingKind
from candelabra_server.formulas.kernels.talib_import import talib

Fields = Mapping[str, FloatColumn]

NAMES = tuple(name for name in talib.get_functions() if FUNCTIONS[name.lower()].family is Family.TALIB)
"""Those of the TA-Lib family, by TA-Lib's names."""
CHOSEN_INPUTS = {
    "series": "close",
    "first": "close",
    "second": "volume",
    "periods": "volume % 40",
}
"""What stands for series that are not implied."""
SMALL_INPUTS = {"ACOS": "close / high", "ASIN": "close / high"}
"""Series for functions that have no value for prices."""
OTHER_WINDOWS = (5, 9, 4, 7)
LONGER_WINDOWS = (40, 90, 20, 30)
OTHER_AVERAGES = ("ema", "wma", "rma")
LONGER_AVERAGES = ("zlema", "hma", "trima")
VARIANTS = ("defaults", "other", "longer")


@dataclass(frozen=True)
class TalibCall:
    """One function of TA-Lib with settings, as they are written in a formula."""

    name: str
    settings: tuple[float | str, ...]
    implied: bool = False

    @property
    def function(self) -> Function:
        return FUNCTIONS[self.name.lower()]

    @property
    def inputs(self) -> tuple[str, ...]:
        if self.name in SMALL_INPUTS:
            return (SMALL_INPUTS[self.name],)
        return self.function.implied or tuple(CHOSEN_INPUTS[name] for name in self.function.inputs)

    @property
    def text(self) -> str:
        written = [f'"{value}"' if isinstance(value, str) else repr(value) for value in self.settings]
        inputs = () if self.implied and self.function.implied else self.inputs
        return f"{self.name.lower()}({', '.join([*inputs, *written])})"

    @property
    def constants(self) -> list[float]:
        return [getattr(talib.MA_Type, value.upper()) if isinstance(value, str) else value for value in self.settings]

    @property
    def lookback(self) -> int:
        function = talib.abstract.Function(self.name)
        function.parameters = dict(zip(function.parameters, self.constants, strict=True))
        return function.lookback

    def columns(self, fields: Fields) -> list[FloatColumn]:
        """TA-Lib's inputs."""
        made = {"volume % 40": fields["volume"] % 40, "close / high": fields["close"] / fields["high"]}
        columns = {**fields, **made}
        return [np.array(columns[name]) for name in self.inputs]

    def computed(self, fields: Fields) -> list[FloatColumn]:
        """What TA-Lib gives, NaN before its lookback, patterns as signals; no value of the fields may be missing."""
        given = getattr(talib, self.name)(*self.columns(fields), *self.constants)
        columns = [np.array(column, dtype=np.float64) for column in (given if isinstance(given, tuple) else (given,))]
        for column in columns:
            column[: self.lookback] = np.nan
        if not self.name.startswith("CDL"):
            return columns
        (found,) = columns
        unknown = np.isnan(found)
        return [np.where(unknown, np.nan, found > 0), np.where(unknown, np.nan, found < 0)]


def calls(name: str) -> Iterator[TalibCall]:
    """The function with its defaults and, where it has settings, with others."""
    settings = FUNCTIONS[name.lower()].settings
    for variant in VARIANTS if settings else VARIANTS[:1]:
        values = tuple(_value(setting, index, variant) for index, setting in enumerate(settings))
        yield TalibCall(name, values, implied=variant == "longer")


def call_of(name: str) -> TalibCall:
    """The function with its defaults."""
    return next(calls(name))


def part_of(candles: Candles, start: int, stop: int | None = None) -> Candles:
    """Some rows of candles."""
    fields = {name: column[start:stop] for name, column in candles.fields.items()}
    return Candles(candles.symbol, candles.open_time_micros[start:stop], fields)


def _value(setting, index, variant):
    if variant == "defaults":
        return setting.default
    longer = variant == "longer"
    if setting.kind is SettingKind.CHOICE:
        return (LONGER_AVERAGES if longer else OTHER_AVERAGES)[index % 3]
    if setting.kind is SettingKind.FACTOR:
        return float(np.clip(setting.default * (0.6 if longer else 1.3) + 0.01, setting.minimum, setting.maximum))
    return (LONGER_WINDOWS if longer else OTHER_WINDOWS)[index % 4]
