"""Builds the `ProcessingJob` of a call from the arguments that users write."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, TypeAlias

from candelabra.v1 import Precision, ProcessingJob

__all__ = ["DateLike", "PrecisionName", "build_job", "symbol_list", "to_iso"]

DateLike: TypeAlias = str | date | datetime
"""A day or a moment: ISO 8601 text, a date, or a datetime (read as UTC when it has no time zone)."""

PrecisionName: TypeAlias = Literal["float64", "float32"]

_PRECISIONS = {"float64": Precision.PRECISION_FLOAT64, "float32": Precision.PRECISION_FLOAT32}


def build_job(
    symbols: str | Iterable[str],
    *,
    timeframe: str,
    start: DateLike | None,
    end: DateLike | None,
    formula: str | None,
    formula_id: str | None,
    parameters: Mapping[str, float] | None,
    precision: PrecisionName | None,
    last_n: int | None,
    max_message_bytes: int | None,
    allow_lookahead: bool,
    symbol_time_limit: float | None,
    weight: float | None,
    job_id: str | None,
) -> ProcessingJob:
    """Returns the message; what it means is checked by the server, here only what it cannot express.

    Messages within the job stay unset where nothing was given, so that the server's defaults hold.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a precision that does not exist, or a number that does not fit its field.
    """
    if precision is not None and precision not in _PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected 'float64' or 'float32'")
    messages: dict[str, dict[str, Any]] = {
        "date_range": {
            "start": None if start is None else to_iso(start),
            "end": None if end is None else to_iso(end),
        },
        "formula": {"expression": formula, "id": formula_id},
        "output": {
            "precision": None if precision is None else _PRECISIONS[precision],
            "last_n": last_n,
            "max_message_bytes": max_message_bytes,
        },
        "options": {
            "allow_lookahead": allow_lookahead or None,
            # Rounded up: 0 on the wire means "no limit".
            "symbol_time_limit_millis": None if symbol_time_limit is None else math.ceil(symbol_time_limit * 1_000),
            "weight": weight,
        },
    }
    given = {
        name: {key: value for key, value in fields.items() if value is not None} for name, fields in messages.items()
    }
    return ProcessingJob(
        job_id=job_id or "",
        symbols=symbol_list(symbols),
        timeframe=timeframe,
        parameters={name: float(value) for name, value in (parameters or {}).items()},
        **{name: fields for name, fields in given.items() if fields},
    )


def symbol_list(symbols: str | Iterable[str]) -> list[str]:
    """Returns the symbols as a list; one name or pattern may stand alone."""
    return [symbols] if isinstance(symbols, str) else list(symbols)


def to_iso(value: Any) -> str:  # noqa: ANN401 - a DateLike, or what numpy and pandas have in its place
    """Returns ISO 8601 text in UTC: a date for dates, a date-time for datetimes; text stays as it is.

    `numpy.datetime64` and `pandas.Timestamp` are read too, to the microsecond.

    Raises:
        TypeError: neither text nor a date nor a datetime.
    """
    if isinstance(value, str):
        return value
    if hasattr(value, "astype"):  # numpy.datetime64: a day gives a date, anything finer a datetime
        unit = "D" if str(value.dtype) == "datetime64[D]" else "us"
        value = value.astype(f"datetime64[{unit}]").item()
    if isinstance(value, datetime):
        moment = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
        # By its fields: a pandas.Timestamp's own isoformat() has nanoseconds.
        fraction = f".{moment.microsecond:06d}" if moment.microsecond else ""
        return f"{moment:%Y-%m-%dT%H:%M:%S}{fraction}Z".rjust(len("2000-01-01T00:00:00Z") + len(fraction), "0")
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"expected ISO 8601 text, a date or a datetime, got {type(value).__name__}")
