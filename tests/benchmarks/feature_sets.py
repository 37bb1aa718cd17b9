"""The sets of columns that are computed: Qlib's two, and smaller ones taken from them by name.

Every subject knows Alpha158 and Alpha360 by itself, so a set is a family and the names of its columns.
"""

from __future__ import annotations

from dataclasses import dataclass

from candelabra_server.formulas.builtins import BUILTIN_FORMULAS

__all__ = ["ALPHA158", "ALPHA360", "FOURTEEN", "MOMENTS_AND_EXTREMES", "FeatureSet", "every_nth"]

_WINDOWS = (5, 10, 20, 30, 60)


@dataclass(frozen=True, slots=True)
class FeatureSet:
    """Columns that are computed together.

    Attributes:
        title: what tables call it.
        family: `alpha158` or `alpha360`, in which the columns are found.
        columns: their names, in order.
    """

    title: str
    family: str
    columns: tuple[str, ...]

    @property
    def is_whole_family(self) -> bool:
        """Whether it is all of its family, as the built-in formula computes it."""
        return len(self.columns) == len(_expressions(self.family))

    @property
    def text(self) -> str:
        """A formula that gives the columns."""
        expressions = _expressions(self.family)
        return "\n".join(f"{name} = {expressions[name]}" for name in self.columns)


def every_nth(features: FeatureSet, step: int) -> FeatureSet:
    """Every `step`-th column, so that all kinds are in it still."""
    columns = features.columns[::step]
    return FeatureSet(f"{len(columns)} of {features.title}", features.family, columns)


def _expressions(family: str) -> dict[str, str]:
    lines = BUILTIN_FORMULAS[f"qlib/{family}"].expression.splitlines()
    return {name: text for name, _, text in (line.partition(" = ") for line in lines)}


ALPHA158 = FeatureSet("Alpha158", "alpha158", tuple(_expressions("alpha158")))
ALPHA360 = FeatureSet("Alpha360", "alpha360", tuple(_expressions("alpha360")))
FOURTEEN = FeatureSet(
    "14 features (our choice)",
    "alpha158",
    (
        *("KMID", "KLEN", "OPEN0", "ROC5", "ROC20", "MA5", "MA20"),
        *("STD5", "STD20", "MAX20", "MIN20", "VMA5", "VSTD5", "CORR20"),
    ),
)
"""Qlib's own headline: "14 features" of 800 stocks, 2007 to 2020. Which ones was never published (its issue 392 says
that the benchmark's code is not released), so these are our choice from Alpha158."""
MOMENTS_AND_EXTREMES = FeatureSet(
    "moments and extremes of Alpha158 (30 columns)",
    "alpha158",
    tuple(f"{kind}{window}" for kind in ("MA", "STD", "MAX", "MIN", "VMA", "VSTD") for window in _WINDOWS),
)
"""What a dataframe can express without a function of its own for every window."""
