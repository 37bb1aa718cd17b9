"""A stack: candles of many symbols one behind the other, evaluated at once.

Of a local formula (`CompiledFormula.is_local`) the last row of a symbol depends on its warm-up and nothing before it,
to the bit. So what a call of the evaluator costs is paid once for hundreds of symbols, not for each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from candelabra_server.domain.candles import Candles, FloatTable
from candelabra_server.formulas.buffers import Buffers
from candelabra_server.formulas.service import CompiledFormula

__all__ = ["Stack"]

_MOST_ROWS = 16_384
"""Of all symbols together: what is computed from them stays in the cache."""


class Stack:
    """Takes the symbols of one screen that have as many candles as a formula's last row needs. Not safe for threads.

    Attributes:
        positions: where the symbols stand in their chunk, in the order in which they were added.
        candles: of each.
    """

    def __init__(self, formula: CompiledFormula) -> None:
        self._formula = formula
        self._rows_each = formula.warm_up_candles + 1
        self._most = _MOST_ROWS // self._rows_each if formula.is_local else 0
        self._columns = [
            (name, np.empty(self._most * self._rows_each)) for name in (formula.fields_of("") if self._most else ())
        ]
        self.positions: list[int] = []
        self.candles: list[Candles] = []

    @property
    def is_full(self) -> bool:
        """Whether it takes no more."""
        return len(self.positions) >= self._most

    @property
    def rows(self) -> int:
        """Of all symbols together."""
        return len(self.positions) * self._rows_each

    def add(self, position: int, candles: Candles) -> bool:
        """Whether the symbol is one for the stack, and on it now; a full stack takes none."""
        rows = self._rows_each
        if len(candles.open_time_micros) != rows or self.is_full:
            return False
        at = self.rows
        fields = candles.fields
        for name, column in self._columns:
            if name not in fields:
                return False
            column[at : at + rows] = fields[name]
        self.positions.append(position)
        self.candles.append(candles)
        return True

    def last_rows(self, checkpoint: Callable[[], None], buffers: Buffers) -> FloatTable:
        """The formula's values in each symbol's last row: a row of the table a column of the formula."""
        rows = self.rows
        table = self._formula.evaluate_stack(
            {name: column[:rows] for name, column in self._columns}, rows, checkpoint=checkpoint, buffers=buffers
        )
        return table[:, self._rows_each - 1 :: self._rows_each]

    def clear(self) -> None:
        """Empties it."""
        self.positions.clear()
        self.candles.clear()
