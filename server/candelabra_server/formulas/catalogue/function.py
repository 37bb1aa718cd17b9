"""What the catalogue says about a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from candelabra_server.formulas.graph import Graph, Node
from candelabra_server.formulas.nodes import ColumnKind

__all__ = ["Build", "Family", "Function", "SettingKind", "SettingParameter", "kernel", "setting_text"]

Build = Callable[[Graph, tuple[Node, ...], tuple[Any, ...]], tuple[Node, ...]]
"""Makes the nodes of a call from its inputs and settings (numbers or texts), one node an output."""


class Family(Enum):
    """Whose spelling and semantics a function has."""

    LANGUAGE = "Language"
    """Parts of the language that look like functions, and functions of one row."""
    TECHNICAL = "Technical analysis"
    """Lower case; a window that is not full gives NaN."""
    SIGNAL = "Signals and state"
    """Lower case; conditions, and what has happened since."""
    TALIB = "TA-Lib"
    """The rest of TA-Lib's catalogue, lower case."""
    QLIB = "Qlib"
    """Qlib's spelling; missing values are skipped, a window needs one value."""


class SettingKind(Enum):
    """What a constant argument may be."""

    WINDOW = "candles, whole, 1 or more"
    QLIB_WINDOW = "candles, whole, 1 or more; 0 is all history"
    QLIB_WINDOW_OR_ALPHA = "candles, whole, 1 or more; 0 is all history; below 1, with compat=qlib, an EMA's alpha"
    QLIB_SPAN = "candles, whole, 1 or more; 0 is all history; below 1 it is alpha"
    SHIFT = "candles, whole; negative looks ahead"
    QLIB_SHIFT = "candles, whole; negative looks ahead; 0 is the first value"
    WHOLE = "a whole number"
    FACTOR = "any finite number"
    CHOICE = "a text, one of a few"
    SYMBOL = "a text, a symbol"
    TIMEFRAME = "a text, a timeframe"

    @property
    def whole(self) -> bool:
        """Whether only whole numbers will do."""
        return self is not SettingKind.FACTOR and not self.is_text

    @property
    def is_text(self) -> bool:
        """Whether it is a text in quotes."""
        return self in {SettingKind.CHOICE, SettingKind.SYMBOL, SettingKind.TIMEFRAME}


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingParameter:
    """One constant argument.

    Attributes:
        name: for named arguments.
        kind: what it may be.
        default: the value where it is left out; None where it must be given.
        minimum: smallest value; None where there is no bound beyond the kind's own.
        maximum: largest value, likewise.
        choices: the texts that a CHOICE may be.
    """

    name: str
    kind: SettingKind = SettingKind.WINDOW
    default: float | str | None = None
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of the language: everything that is checked, planned or documented about it.

    Attributes:
        name: as written.
        family: whose semantics it has.
        inputs: names of the series it takes, in order.
        implied: fields that stand in for the inputs where none is given, as in `atr(14)`; empty where there are none.
        settings: constants it takes, after the inputs.
        settings_first: the settings stand before the inputs.
        symbol_setting: the setting that names the symbol whose candles the inputs are over; empty where they are over
            those at hand.
        outputs: names of its columns, or one empty name.
        kind: of its values; None where `kind_from` decides.
        kind_from: inputs that must all be signals for the result to be one, where `kind` is None.
        conditions: inputs that must be signals.
        unknown_is_false: a signal that is given as input counts as 0 where it is unknown.
        build: see Build.
        qlib_build: the same with Qlib's defects, for formulas with `compat=qlib`; None where `build` serves both.
        warning: what someone who writes it should know; empty where there is nothing.
        warm_up: the rule in words.
        summary: one line on what it gives.
        source: where the definition is from.
    """

    name: str
    family: Family
    inputs: tuple[str, ...]
    implied: tuple[str, ...] = ()
    settings: tuple[SettingParameter, ...] = ()
    settings_first: bool = False
    symbol_setting: str = ""
    outputs: tuple[str, ...] = ("",)
    kind: ColumnKind | None = ColumnKind.NUMBER
    kind_from: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    unknown_is_false: bool = False
    build: Build
    qlib_build: Build | None = None
    warning: str = ""
    warm_up: str
    summary: str
    source: str

    @property
    def signature(self) -> str:
        """As a user writes it, with defaults."""
        series = [f"[{', '.join(self.inputs)}]"] if self.implied else list(self.inputs)
        settings = [setting_text(setting) for setting in self.settings]
        return f"{self.name}({', '.join(settings + series if self.settings_first else series + settings)})"


def setting_text(setting: SettingParameter) -> str:
    """`name`, or `name=default`."""
    if setting.default is None:
        return setting.name
    default = f'"{setting.default}"' if isinstance(setting.default, str) else f"{setting.default:g}"
    return f"{setting.name}={default}"


def kernel(operation_name: str) -> Build:
    """A call that is one node: the inputs go in as they are, the settings too (whole ones as int)."""

    def build(graph: Graph, inputs: tuple[Node, ...], settings: tuple[Any, ...]) -> tuple[Node, ...]:
        return (graph.apply(operation_name, *inputs, settings=settings),)

    return build
