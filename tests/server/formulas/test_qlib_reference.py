"""Qlib's expressions beside what Qlib itself computed from the same candles (tests/reference).

Two values are equal where both are missing or infinite alike, or where they are at most RELATIVE of Qlib's value
apart. That is for the last step, in which Qlib rounds to 32 bits (6e-8 of the value). Its operators of one row compute
in 32 bits too, and a difference of two such numbers may keep few of their digits. So what Qlib's own value changes by
when its fields are held in 64 bits, which is stored with every value, is allowed beside RELATIVE; it is 0 for nine
values of ten. There is no other floor, but for FLOOR, which is what 64 bits leave of a sum whose terms cancel.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from bokeh_sampledata import stocks

from candelabra_server.domain.candles import Candles
from candelabra_server.formulas.builtins import BUILTIN_FORMULAS
from candelabra_server.formulas.compile_options import CompileOptions
from reference.qlib_values import qlib_reference

RELATIVE = 1e-6
FLOOR = 1e-13
"""Of the largest value in the column."""
REFERENCE = qlib_reference()
MODES = {"default": CompileOptions(allow_lookahead=True), "compat": CompileOptions(allow_lookahead=True, qlib_defects=True)}
