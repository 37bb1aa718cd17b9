"""Builds the `ProcessingJob` of a call from the arguments that users write."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, Required, TypeAlias, TypedDict, Unpack

from candelabra.v1 import Compatibility, Formula, Precision, ProcessingJob

__all__ = [
    "CompatName",
    "DateLike",
    "JobArguments",
    "PrecisionName",
    "build_formula",
    "build_job",
    "compatibility",
    "parameter_values",
    "symbol_list",
    "time_limit_millis",
    "to_iso",
]

DateLike: TypeAlias = str | date | datetime
"""A day or a moment: ISO 8601 text, a date, or a datetime (read as UTC when it has no time zone)."""

PrecisionName: TypeAlias = Literal["float64", "float32"]

CompatName: TypeAlias = Literal["qlib"]
"""Whose values Qlib's operators give where Qlib's own are wrong."""

_PRECISIONS = {"float64": Precision.PRECISION_FLOAT64, "float32": Precision.PRECISION_FLOAT32}
_COMPATIBILITIES = {"qlib": Compatibility.COMPATIBILITY_QLIB}


class JobArguments(TypedDict, total=False):
    """What a job consists of, beside its symbols; `Client.process` says what each argument means."""

    timeframe: Required[str]
    start: DateLike | None
    end: DateLike | None
    formula: str | None
    formula_id: str | None
    parameters: Mapping[str, float] | None
    compat: CompatName | None
    float32_fields: bool
    precision: PrecisionName | None
    last_n: int | None
    max_message_bytes: int | None
    allow_lookahead: bool
    symbol_time_limit: float | None
    weight: float | None
    job_id: str | None


def build_job(symbols: str | Iterable[str], **job: Unpack[JobArguments]) -> ProcessingJob:
    """Returns the message; what it means is checked by the server, here only what it cannot express.

    Messages within the job stay unset where nothing was given, so that the server's defaults hold.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a precision or compat that does not exist, or a number that does not fit its field.
    """
    precision = job.get("precision")
    if precision is not None and precision not in _PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected 'float64' or 'float32'")
    messages: dict[str, dict[str, Any]] = {
        "date_range": {name: None if (day := job.get(name)) is None else to_iso(day) for name in ("start", "end")},
        "output": {
            "precision": None if precision is None else _PRECISIONS[precision],
            "last_n": job.get("last_n"),
            "max_message_bytes": job.get("max_message_bytes"),
        },
        "options": {
            "allow_lookahead": job.get("allow_lookahead") or None,
            "symbol_time_limit_millis": time_limit_millis(job.get("symbol_time_limit")),
            "weight": job.get("weight"),
        },
    }
    given = {
        name: {key: value for key, value in fields.items() if value is not None} for name, fields in messages.items()
    }
    return ProcessingJob(
        job_id=job.get("job_id") or "",
        symbols=symbol_list(symbols),
        timeframe=job["timeframe"],
        formula=build_formula(
            job.get("formula"),
            formula_id=job.get("formula_id"),
            compat=job.get("compat"),
            float32_fields=job.get("float32_fields", False),
        ),
        parameters=parameter_values(job.get("parameters")),
        **{name: fields for name, fields in given.items() if fields},
    )


def build_formula(
    formula: str | None, *, formula_id: str | None, compat: CompatName | None, float32_fields: bool
) -> Formula | None:
    """Returns the message, in which everything is set that was given; None where nothing was.

    Raises:
        TypeError: a value of the wrong type.
        ValueError: a compat that does not exist.
    """
    if formula is None and formula_id is None and compat is None and not float32_fields:
        return None
    return Formula(
        expression=formula, id=formula_id, compatibility=compatibility(compat), float32_fields=float32_fields
    )


def compatibility(compat: CompatName | None) -> Compatibility:
    """Returns the message's value; ValueError for a name that does not exist."""
    if compat is None:
        return Compatibility.COMPATIBILITY_UNSPECIFIED
    if compat not in _COMPATIBILITIES:
        raise ValueError(f"compat is {compat!r}; expected 'qlib'")
    return _COMPATIBILITIES[compat]


def parameter_values(parameters: Mapping[str, float] | None) -> dict[str, float]:
    """Returns the parameters with Python's own numbers."""
    return {name: float(value) for name, value in (parameters or {}).items()}


def symbol_list(symbols: str | Iterable[str]) -> list[str]:
    """Returns the symbols as a list; one name or pattern may stand alone."""
    return [symbols] if isinstance(symbols, str) else list(symbols)


def time_limit_millis(seconds: float | None) -> int | None:
    """Returns milliseconds, rounded up: 0 on the wire means "no limit"."""
    return None if seconds is None else math.ceil(seconds * 1_000)


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
