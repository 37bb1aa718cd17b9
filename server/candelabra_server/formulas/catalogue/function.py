"""What the catalogue says about a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from candelabra_server.formulas.graph import Graph, Node
from candelabra_server.formulas.nodes import ColumnKind

__all__ = ["Build", "Family", "Function", "SettingKind", "SettingParameter", "kernel", "setting_text"]

Build = Callable[[Graph, tuple[Node, ...], tuple[float, ...]], tuple[Node, ...]]
"""Makes the nodes of a call from its inputs and settings, one node an output."""


class Family(Enum):
    """Whose spelling and semantics a function has."""

    LANGUAGE = "Language"
    """Parts of the language that look like functions."""
    TECHNICAL = "Technical analysis"
    """Lower case; a window that is not full gives NaN."""
    QLIB = "Qlib"
    """Qlib's spelling; missing values are skipped, a window needs one value."""


class SettingKind(Enum):
    """What a constant argument may be."""

    WINDOW = "candles, whole, 1 or more"
    QLIB_WINDOW = "candles, whole, 1 or more; 0 (all history) is not available yet"
    SHIFT = "candles, whole; negative looks ahead"
    QLIB_SHIFT = "candles, whole; negative looks ahead; 0 (the first value) is not available yet"
    FACTOR = "any finite number"

    @property
    def whole(self) -> bool:
        """Whether only whole numbers will do."""
        return self is not SettingKind.FACTOR


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingParameter:
    """One constant argument.

    Attributes:
        name: for named arguments.
        kind: what it may be.
        default: the value where it is left out; None where it must be given.
        minimum: smallest value of a window.
    """

    name: str
    kind: SettingKind = SettingKind.WINDOW
    default: float | None = None
    minimum: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Function:
    """One function of the language: everything that is checked, planned or documented about it.

    Attributes:
        name: as written.
        family: whose semantics it has.
        inputs: names of the series it takes, in order.
        implied: fields that stand in for the inputs where none is given, as in `atr(14)`; empty where there are none.
        settings: constants it takes, after the inputs.
        outputs: names of its columns, or one empty name.
        kind: of its values; None where `kind_from` decides.
        kind_from: inputs that must all be signals for the result to be one, where `kind` is None.
        unknown_is_false: a signal that is given as input counts as 0 where it is unknown.
        build: see Build.
        warm_up: the rule in words.
        summary: one line on what it gives.
        source: where the definition is from.
    """

    name: str
    family: Family
    inputs: tuple[str, ...]
    implied: tuple[str, ...] = ()
    settings: tuple[SettingParameter, ...] = ()
    outputs: tuple[str, ...] = ("",)
    kind: ColumnKind | None = ColumnKind.NUMBER
    kind_from: tuple[str, ...] = ()
    unknown_is_false: bool = False
    build: Build
    warm_up: str
    summary: str
    source: str

    @property
    def signature(self) -> str:
        """As a user writes it, with defaults."""
        series = [f"[{', '.join(self.inputs)}]"] if self.implied else list(self.inputs)
        return f"{self.name}({', '.join(series + [setting_text(setting) for setting in self.settings])})"


def setting_text(setting: SettingParameter) -> str:
    """`name`, or `name=default`."""
    return setting.name if setting.default is None else f"{setting.name}={setting.default:g}"


def kernel(operation_name: str) -> Build:
    """A call that is one node: the inputs go in as they are, the settings too (whole ones as int)."""

    def build(graph: Graph, inputs: tuple[Node, ...], settings: tuple[float, ...]) -> tuple[Node, ...]:
        return (graph.apply(operation_name, *inputs, settings=settings),)

    return build
