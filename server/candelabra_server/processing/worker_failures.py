"""Failures of symbols that are told in a worker's own words, since the exception's are for the log alone."""

from candelabra_server.errors import Reason, SymbolFailure

__all__ = ["out_of_memory", "unexpected"]


def out_of_memory() -> SymbolFailure:
    """The system gave no more memory; the worker lives."""
    return SymbolFailure("a worker process has not enough memory for it", reason=Reason.OUT_OF_MEMORY)


def unexpected() -> SymbolFailure:
    """Whatever was not foreseen."""
    return SymbolFailure("the worker met an unexpected error; the server's log has the cause", reason=Reason.INTERNAL)
