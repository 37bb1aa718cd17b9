"""The instructions of a program, as numbers: what `programs.py` writes and the machine reads.

An instruction is its opcode, how many numbers follow, and those:

- ROWS: how many elementwise instructions, then ROWS_FIELDS numbers each: the operation (RowOp), where the result goes,
  up to three operands, and the candles of a shift. A place is the number of a column; -1 - n is row n of the scratch
  table.
- All others: the numbers of one or two input columns, a parameter's number (-1: none), how many entries, then
  ENTRY_FIELDS numbers each: the window (0: all rows so far), the statistic, the entry's own parameter, and the column
  that it goes to. Entries are sorted by window, 0 last. Parameters are
  rows of the scratch table, which hold the number everywhere.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = [
    "BLOCK_ROWS",
    "ENTRY_FIELDS",
    "HEADER_FIELDS",
    "LANES",
    "LONGEST_SLID",
    "ROWS_FIELDS",
    "TILE_ROWS",
    "TRACE_FIELDS",
    "Opcode",
    "RowOp",
    "Statistic",
    "TraceKind",
]

ROWS_FIELDS = 6
HEADER_FIELDS = 4
ENTRY_FIELDS = 4
TRACE_FIELDS = 7

BLOCK_ROWS = 1024
"""Of elementwise groups: three columns' blocks fill half of a first-level cache of 48 KB."""
TILE_ROWS = 960
"""Of folds. What lies a tile apart must not lie near a multiple of 4,096 bytes apart: the processor would take a load
from one for a load of what it is storing in the other."""
LANES = 8
"""Sorted windows that are moved in one step: as many 64-bit numbers as the widest registers hold."""
LONGEST_SLID = 160
"""Beyond this window, finding a value's place by halving is faster than a pass over all values."""


class Opcode(IntEnum):
    """What an instruction is: a group of elementwise ones, or a bundle of windows that are filled in one pass."""

    ROWS = 0
    SUMS = 1
    FULL_SUMS = 2
    MOMENTS = 3
    FULL_MOMENTS = 4
    HIGHER_MOMENTS = 5
    LINES = 6
    PAIRS = 7
    FULL_PAIRS = 8
    DECAYING = 9
    HIGHEST = 10
    LOWEST = 11
    HIGHEST_OR_GAP = 12
    LOWEST_OR_GAP = 13
    FULL_HIGHEST = 14
    FULL_LOWEST = 15
    ORDERED = 16
    FULL_WEIGHTED = 17
    COUNTS = 18
    SHIFT = 19
    MEAN_DEVIATIONS = 20


class RowOp(IntEnum):
    """Elementwise operations; from LESS on those of signals."""

    ADD = 0
    SUBTRACT = 1
    MULTIPLY = 2
    DIVIDE = 3
    NEGATE = 4
    ABSOLUTE = 5
    SIGN = 6
    ROUND = 7
    GREATEST = 8
    LEAST = 9
    ROUND_TO_FLOAT32 = 10
    SHIFT = 11
    LESS = 20
    LESS_EQUAL = 21
    EQUAL = 22
    NOT_EQUAL = 23
    AND = 24
    OR = 25
    NOT = 26
    CHOOSE = 27
    IS_MISSING = 28
    SIGNAL_OR_ZERO = 29


class Statistic(IntEnum):
    """What an entry of a bundle asks for."""

    SUM = 0
    MEAN = 1
    VARIANCE = 2
    DEVIATION = 3
    SCORE = 4
    SKEWNESS = 5
    KURTOSIS = 6
    SKEWNESS_GUARDED = 7
    KURTOSIS_GUARDED = 8
    SLOPE = 9
    FIT = 10
    RESIDUAL = 11
    WEIGHTED_MEAN = 12
    WEIGHTED_MEAN_DIVIDED_TWICE = 13
    COVARIANCE = 14
    CORRELATION = 15
    BETA = 16
    VALUE = 17
    INDEX = 18
    BARS = 19
    RANK = 20
    QUANTILE = 21
    COUNT_VALUES = 22
    COUNT_TRUE = 23
    FLAT = 24
    MEAN_DEVIATION = 25
    NEAREST = 26
    DISTANCE = 27
    MEAN_FROM_START = 28


class TraceKind(IntEnum):
    """How the cause of a column's NaN is found: see missing_values.py."""

    GIVEN = 0
    FIRST_OF = 1
    LOOK_BACK = 2
    SHIFT = 3
    CHOOSE = 4
