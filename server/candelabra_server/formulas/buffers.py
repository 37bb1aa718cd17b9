"""Memory of evaluations, used again from symbol to symbol: fresh memory costs a page fault every 4 KB."""

from __future__ import annotations

import numpy as np

from candelabra_server.domain.candles import FloatTable
from candelabra_server.formulas.compiled.opcodes import BLOCK_ROWS
from candelabra_server.formulas.graph import Source
from candelabra_server.formulas.programs import Program, work_room

__all__ = ["Buffers"]


_LINE = 8
"""Numbers in a line of the processor's cache."""
_MOST_KEPT = 32 * 1024 * 1024
"""Numbers: what one table needs beyond this, 256 MB, is let go after its evaluation."""


class Buffers:
    """Grows to what the largest usual evaluation needed. For one evaluation at a time: the next one overwrites it."""

    def __init__(self) -> None:
        self._tables: dict[Source, FloatTable] = {}
        self._memory: dict[Source, FloatTable] = {}
        """Where those are, which may be longer."""
        self._work: FloatTable = np.empty(0)
        self._measured: Program | None = None
        self._measured_rows = 0
        """Rows for which the program is known to have enough room."""
        self._program: Program | None = None
        self._scratch: FloatTable = np.empty((0, BLOCK_ROWS))

    def table(self, source: Source, columns: int, rows: int) -> FloatTable:
        """Room for the columns of a source, C-contiguous, one row a column; holds anything."""
        known = self._tables.get(source)
        if known is not None and known.shape == (columns, rows):
            return known
        memory = self._memory.get(source)
        if memory is None or len(memory) < columns * rows:
            memory = np.empty(columns * rows)
        table = memory[: columns * rows].reshape(columns, rows)
        if columns * rows <= _MOST_KEPT:
            self._memory[source], self._tables[source] = memory, table
        return table

    def work(self, program: Program, rows: int) -> FloatTable:
        """Room for the machine's kernels, from a multiple of 64 bytes on."""
        if self._measured is program and rows <= self._measured_rows:
            return self._work
        needed = work_room(program, rows)
        if len(self._work) >= needed:
            self._measured, self._measured_rows = program, rows
        else:
            memory = np.empty(needed + _LINE)
            memory = memory[-(memory.ctypes.data // memory.itemsize) % _LINE :]
            if needed > _MOST_KEPT:
                return memory
            self._work = memory
        return self._work

    def scratch(self, program: Program) -> FloatTable:
        """The scratch table of a program, its constants filled in."""
        if self._program is not program:
            self._scratch = np.empty((program.scratch_rows, BLOCK_ROWS))
            first = program.scratch_rows - len(program.constants)
            self._scratch[first:] = np.array(program.constants)[:, np.newaxis]
            self._program = program
        return self._scratch
