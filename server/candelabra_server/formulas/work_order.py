"""In which order the work of a plan is done, and what is done together.

After each bundle or call come all elementwise steps that have become possible, as one group, so that columns are used
while they are in the cache.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from candelabra_server.formulas.compiled.opcodes import Opcode
from candelabra_server.formulas.graph import Source
from candelabra_server.formulas.step_work import StepWork

__all__ = ["Unit", "order_work"]

_MOST_ENTRIES = 32
"""Of one bundle: each has room of its own in the kernels' work memory."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Work that is done together: a group of elementwise steps, the entries of a bundle, or a call (no opcode)."""

    steps: tuple[int, ...]
    source: Source
    opcode: Opcode | None

    @property
    def is_bundle(self) -> bool:
        """Whether its steps are the entries of a bundle."""
        return self.opcode not in {None, Opcode.ROWS}


def order_work(work: StepWork) -> list[Unit]:
    """All steps that are work, each after those that it reads."""
    return _Order(work).units


class _Order:
    """What is ready to be done, by kind; `units` is what was taken of it, in order."""

    def __init__(self, work: StepWork) -> None:
        self._work = work
        self._rows: dict[Source, deque[int]] = {}
        self._bundles: dict[tuple[object, ...], list[int]] = {}
        self._calls: deque[int] = deque()
        self._users: dict[int, list[int]] = {}
        self._waiting: dict[int, int] = {}
        numbers = [number for number in range(len(work.steps)) if not work.is_given(number)]
        for number in numbers:
            below = {under for under in work.inputs(number) if not work.is_given(under)}
            self._waiting[number] = len(below)
            for under in below:
                self._users.setdefault(under, []).append(number)
        self._admit(number for number in numbers if not self._waiting[number])
        self.units: list[Unit] = []
        while self._rows or self._bundles or self._calls:
            self.units += self._take_rows() or self._take_bundle() or self._take_call()

    def _take_rows(self) -> list[Unit]:
        if not self._rows:
            return []
        source, group = next(iter(self._rows.items()))
        done = []
        while group:
            done.append(group.popleft())
            self._finish(done[-1])
        del self._rows[source]
        return [Unit(tuple(done), source, Opcode.ROWS)]

    def _take_bundle(self) -> list[Unit]:
        if not self._bundles:
            return []
        entries = self._bundles.pop(next(iter(self._bundles)))
        entries.sort(key=lambda number: (self._work.entry(number)[1] or math.inf, number))
        for number in entries:
            self._finish(number)
        source, opcode = self._work.source(entries[0]), self._work.bundled[entries[0]].opcode
        parts = (entries[first : first + _MOST_ENTRIES] for first in range(0, len(entries), _MOST_ENTRIES))
        return [Unit(tuple(part), source, opcode) for part in parts]

    def _take_call(self) -> list[Unit]:
        number = self._calls.popleft()
        self._finish(number)
        return [Unit((number,), self._work.source(number), None)]

    def _finish(self, number: int) -> None:
        ready = []
        for user in self._users.get(number, ()):
            self._waiting[user] -= 1
            if not self._waiting[user]:
                ready.append(user)
        self._admit(ready)

    def _admit(self, ready: Iterable[int]) -> None:
        for number in ready:
            if number in self._work.bundled:
                self._bundles.setdefault(self._work.bundle_key(number), []).append(number)
            elif self._work.is_rows(number):
                self._rows.setdefault(self._work.source(number), deque()).append(number)
            else:
                self._calls.append(number)
