"""What TA-Lib says about its functions: inputs, parameters with their ranges, outputs, and how far each looks back."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from candelabra_server.formulas.kernels.talib_import import talib

__all__ = [
    "LONGEST_WINDOW",
    "MOVING_AVERAGES",
    "TALIB",
    "TalibFunction",
    "TalibParameter",
    "lookback",
]

# After talib_import, which decides what comes along with TA-Lib.
_abstract = importlib.import_module("talib.abstract")

LONGEST_WINDOW = 100_000
"""The largest period that TA-Lib takes."""
_LEAST_REALS = (-3e37, 0.0, 0.01)
_LARGEST_REALS = (3e37, 100.0, 1.0, 0.99)
"""Bounds that TA-Lib's real parameters have, widest first; its metadata does not say which has which."""
_NO_AVERAGES = ("DEFAULT", "DISABLED")
_PATTERN_FLAG = "Output is a candlestick"

MOVING_AVERAGES: dict[str, int] = {
    name.lower(): number
    for name, number in vars(type(talib.MA_Type)).items()
    if name.isupper() and name not in _NO_AVERAGES
}
"""TA-Lib's kinds of moving average: how they are written, and their numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TalibParameter:
    """One constant of a function.

    Attributes:
        name: TA-Lib's own, as in `timeperiod`.
        default: an int where only whole numbers will do.
        minimum: smallest value that TA-Lib takes.
        maximum: largest value that it takes; all whole parameters may be as large at once.
        averages: the moving averages to choose from, where that is what it is; empty elsewhere.
    """

    name: str
    default: int | float
    minimum: int | float
    maximum: int | float
    averages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TalibFunction:
    """One function of TA-Lib.

    Attributes:
        name: TA-Lib's own, in capitals.
        title: what it is called in words.
        group: the kind of function it is, in words.
        inputs: names of the series it takes, in order: candle fields, or names of its own where it has `named_inputs`.
        named_inputs: the series are the caller's choice, not candle fields.
        parameters: its constants, in order.
        outputs: names of what it gives, in order.
        pattern: it looks for a pattern of candles: above 0 where it finds a bullish one, below 0 for a bearish one.
    """

    name: str
    title: str
    group: str
    inputs: tuple[str, ...]
    named_inputs: bool
    parameters: tuple[TalibParameter, ...]
    outputs: tuple[str, ...]
    pattern: bool

    @property
    def defaults(self) -> tuple[int | float, ...]:
        """The constants that TA-Lib takes where none are given."""
        return tuple(parameter.default for parameter in self.parameters)


_Accepts = Callable[[float], bool]
"""Whether TA-Lib takes a value for one parameter, the others being as they are by default."""
_Kind = Callable[[str, float, _Accepts, int | None], TalibParameter]
"""Makes a parameter of one kind from its name, its default, what TA-Lib takes, and its longest window."""


@lru_cache(maxsize=4096)
def lookback(name: str, *constants: float) -> int:
    """Rows before the first that has a value; -1 where TA-Lib does not take the constants."""
    function = getattr(_abstract, name)
    before = function.parameters
    # What the function is set to belongs to the thread, and others may use it too: it is put back.
    function.parameters = dict(zip(before, constants, strict=True))
    try:
        rows: int = function.lookback
    finally:
        function.parameters = before
    return rows


def _read(name: str) -> TalibFunction:
    function = getattr(_abstract, name)
    info = function.info
    sources = info["input_names"]
    fields = [source for source in sources.values() if isinstance(source, list)]
    return TalibFunction(
        name=name,
        title=info["display_name"],
        group=info["group"],
        inputs=_field_names(sources.values()) if fields else tuple(sources),
        named_inputs=not fields,
        parameters=_parameters(name, info["parameters"]),
        outputs=tuple(info["output_names"]),
        pattern=_PATTERN_FLAG in (function.function_flags or ()),
    )


def _field_names(sources: Iterable[str | list[str]]) -> tuple[str, ...]:
    return tuple(field for source in sources for field in (source if isinstance(source, list) else [source]))


def _parameters(name: str, defaults: Mapping[str, int | float]) -> tuple[TalibParameter, ...]:
    """Every parameter with what it may be, found by asking for the lookback: the metadata does not say."""
    kinds = [_kind(parameter, default) for parameter, default in defaults.items()]
    values = list(defaults.values())
    # All at once: one may have to be smaller than another.
    largest = [LONGEST_WINDOW if kind is _window else value for kind, value in zip(kinds, values, strict=True)]
    longest = LONGEST_WINDOW if lookback(name, *largest) >= 0 else None
    parameters = []
    for index, (parameter, kind) in enumerate(zip(defaults, kinds, strict=True)):

        def accepts(value: float, index: int = index) -> bool:
            return lookback(name, *values[:index], value, *values[index + 1 :]) >= 0

        parameters.append(kind(parameter, values[index], accepts, longest))
    return tuple(parameters)


def _kind(parameter: str, default: float) -> _Kind:
    if not isinstance(default, int):
        return _real
    return _average if parameter.endswith("matype") else _window


def _window(name: str, default: float, accepts: _Accepts, longest: int | None) -> TalibParameter:
    least = next(rows for rows in range(1, int(default) + 1) if accepts(rows))
    return TalibParameter(name=name, default=default, minimum=least, maximum=longest or default)


def _real(name: str, default: float, accepts: _Accepts, _longest: int | None) -> TalibParameter:
    least = next(value for value in (*_LEAST_REALS, default) if accepts(value))
    largest = next(value for value in (*_LARGEST_REALS, default) if accepts(value))
    return TalibParameter(name=name, default=default, minimum=least, maximum=largest)


def _average(name: str, default: float, accepts: _Accepts, _longest: int | None) -> TalibParameter:
    averages = {text: number for text, number in MOVING_AVERAGES.items() if accepts(number)}
    low, high = min(averages.values()), max(averages.values())
    return TalibParameter(name=name, default=default, minimum=low, maximum=high, averages=tuple(averages))


TALIB: dict[str, TalibFunction] = {name: _read(name) for name in talib.get_functions()}
"""All of TA-Lib's functions by its own names, in its order."""
