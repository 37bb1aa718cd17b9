"""ImportOptions: what a user says about files whose content does not say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from candelabra_server.domain.candles import PRICE_FIELDS
from candelabra_server.domain.timeframe import Timeframe
from candelabra_server.errors import InvalidRequestError, Violation

__all__ = ["ROLES", "ImportOptions"]

ROLES = ("time", "symbol", *PRICE_FIELDS)
"""What a column can be named to be."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How files are read; the same for all files of an import.

    Attributes:
        timeframe: that the times of a file must be plausible for; None is no check.
        symbol: of all candles of files without a symbol column; None is the one in each file's name.
        adjust_by: the column that prices are scaled to, or None.
        columns: the file's column for each of some ROLES, in any case; an empty one, for volume only, says
            that the files have none.
        header: names of the columns of files without a header line, in their order.
        price_scale: what open, high, low and close are multiplied by; None is found out.
        time_zone: of times of day without a zone, an IANA name; None is UTC.
        time_format: how times are written, in the directives of `datetime.strptime`; None is found out.
    """

    timeframe: Timeframe | None = None
    symbol: str | None = None
    adjust_by: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    header: Sequence[str] = ()
    price_scale: Decimal | None = None
    time_zone: str | None = None
    time_format: str | None = None

    @classmethod
    def parse(
        cls,
        *,
        timeframe: str,
        symbol: str | None = None,
        adjust_by: str | None = None,
        columns: Mapping[str, str] | None = None,
        header: Sequence[str] = (),
        price_scale: str | None = None,
        time_zone: str | None = None,
        time_format: str | None = None,
    ) -> ImportOptions:
        """Checks options as a user gives them.

        Raises:
            InvalidRequestError: with everything that is wrong.
        """
        parsed = _parse_timeframe(timeframe)
        scale = _parse_scale(price_scale)
        wrong = [
            Violation("column", f"{role!r} is no role of a column; expected one of {', '.join(ROLES)}")
            for role in columns or {}
            if role not in ROLES
        ]
        wrong += [
            Violation("column", f"{role} needs a column; only volume can be empty, for files that have none")
            for role, name in (columns or {}).items()
            if role in ROLES and not name.strip() and role != "volume"
        ]
        wrong += [item for item in (parsed, scale) if isinstance(item, Violation)]
        if time_zone is not None and not _is_zone(time_zone):
            wrong.append(
                Violation("time_zone", f"there is no time zone {time_zone!r}; expected one such as America/New_York")
            )
        if wrong or isinstance(parsed, Violation) or isinstance(scale, Violation):
            raise InvalidRequestError(wrong)
        return cls(
            timeframe=parsed,
            symbol=symbol,
            adjust_by=adjust_by,
            columns=dict(columns or {}),
            header=tuple(name.strip() for name in header),
            price_scale=scale,
            time_zone=time_zone,
            time_format=time_format,
        )


def _parse_timeframe(text: str) -> Timeframe | Violation:
    try:
        return Timeframe.parse(text)
    except ValueError as error:
        return Violation("timeframe", str(error))


def _parse_scale(text: str | None) -> Decimal | Violation | None:
    if text is None:
        return None
    try:
        scale = Decimal(text)
    except InvalidOperation:
        scale = Decimal("NaN")
    if scale.is_finite() and scale > 0:
        return scale
    return Violation("price_scale", f"{text!r} is not a number above zero, such as 1e-9")


def _is_zone(name: str) -> bool:
    try:
        pc.assume_timezone(pa.array([0], pa.timestamp("us")), name)
    except (pa.ArrowInvalid, pa.ArrowKeyError):
        return False
    return True
