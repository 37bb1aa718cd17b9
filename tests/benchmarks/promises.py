"""What the project promises of its speed, held against what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Promise", "at_least", "at_most", "broken", "flat", "within"]


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise.

    Attributes:
        text: what is promised.
        kept: None when it was not measured.
        found: the figures.
        binding: whether the suite fails when it is not kept.
    """

    text: str
    kept: bool | None
    found: str
    binding: bool = False

    def __str__(self) -> str:
        verdict = {True: "kept", False: "NOT kept", None: "not measured"}[self.kept]
        return f"{verdict}: {self.text} ({self.found})"


def at_most(text: str, part: float, *, ours: float | None, peer: float | None, binding: bool = True) -> Promise:
    """Ours takes at most a part of the peer's seconds; None where one was not measured."""
    if ours is None or peer is None:
        return Promise(text, None, "there are no figures of both", binding=binding)
    return Promise(
        text,
        ours <= part * peer,
        f"{ours:.3f} s to {peer:.3f} s, 1/{peer / ours:.1f}; promised: 1/{1 / part:.3g}",
        binding=binding,
    )


def at_least(
    text: str, part: float, *, ours: float | None, peer: float | None, unit: str, binding: bool = True
) -> Promise:
    """Ours does at least a part, or a multiple, of what the peer does in the same time."""
    if ours is None or peer is None:
        return Promise(text, None, "there are no figures of both", binding=binding)
    found = f"{ours:,.0f} to {peer:,.0f} {unit}, {ours / peer:.2f}×; promised: {part:.2f}×"
    return Promise(text, ours >= part * peer, found, binding=binding)


def within(text: str, bound: float, *, found: float | None, unit: str) -> Promise:
    """A figure is not above a bound."""
    if found is None:
        return Promise(text, None, "there is no figure", binding=True)
    return Promise(text, found <= bound, f"{found:,.2f} {unit}; promised: {bound:,.2f} {unit}", binding=True)


def flat(text: str, values: Sequence[float], *, within: float, unit: str) -> Promise:
    """The largest is within a factor of the least."""
    growth = max(values) / min(values)
    found = f"{min(values):,.2f} to {max(values):,.2f} {unit}, {growth:.2f}×; promised: {within:.2f}×"
    return Promise(text, growth <= within, found)


def broken(promises: Sequence[Promise]) -> list[Promise]:
    """Those for which the suite fails."""
    return [promise for promise in promises if promise.binding and promise.kept is False]
