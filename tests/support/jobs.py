"""Requests that tests send."""

from candelabra.v1 import DateRange, Formula, ProcessingJob


def job(symbols, expression=None, *, timeframe="1d", parameters=None, start="", end=""):
    """A job as a user would write it; `symbols` is one name or several."""
    request = ProcessingJob(
        symbols=[symbols] if isinstance(symbols, str) else symbols,
        timeframe=timeframe,
        parameters=parameters or {},
    )
    if start or end:
        request.date_range.CopyFrom(DateRange(start=start, end=end))
    if expression is not None:
        request.formula.CopyFrom(Formula(expression=expression))
    return request
