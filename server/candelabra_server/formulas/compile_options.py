"""What a job says about the meaning of its formula, beside the text and the parameters."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_TIMEFRAME", "CompileOptions"]

DEFAULT_TIMEFRAME = "1d"
"""Assumed where a formula is checked without a job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """Options of one compilation.

    Attributes:
        timeframe: of the candles that the formula will run over, canonical; `close@1w` needs more warm-up the
            shorter it is.
        allow_lookahead: values may depend on later candles; rows that lack those are NaN.
        qlib_defects: Qlib's operators give the values that Qlib gives, also where those are wrong (`compat=qlib`).
        float32_fields: fields are rounded to 32 bits before anything is computed from them, as Qlib's are.
        draft: the formula is only checked, for any job: a parameter that is NaN may be anything yet, and the warm-up
            as long as it is.
    """

    timeframe: str = DEFAULT_TIMEFRAME
    allow_lookahead: bool = False
    qlib_defects: bool = False
    float32_fields: bool = False
    draft: bool = False
