"""Turns errors into messages on standard error and exit statuses: the one place that knows both.

0    all well
1    the job or the call failed
2    wrong usage (typer's own status for it)
3    some symbols failed, the others are there
130  interrupted with Ctrl-C (128 + SIGINT)
141  nobody reads the output any more (128 + SIGPIPE), said silently
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.text import Text

from candelabra_client._commands.tables import counted
from candelabra_client._exceptions import CallError, CandelabraError, Violation
from candelabra_client._result import SymbolError
from candelabra_client._screen import Screen

__all__ = [
    "BROKEN_PIPE",
    "FAILED",
    "INTERRUPTED",
    "SYMBOLS_FAILED",
    "error_console",
    "error_text",
    "exit_statuses",
    "report_screen",
    "report_symbols",
]

FAILED = 1
SYMBOLS_FAILED = 3
INTERRUPTED = 130
BROKEN_PIPE = 141

_MOST_SYMBOLS = 20


def error_console() -> Console:
    """Returns a console for standard error, as it is now; lines are never broken by it."""
    return Console(stderr=True, soft_wrap=True, highlight=False, markup=False, emoji=False)


@contextmanager
def exit_statuses(work: str = "job") -> Iterator[None]:
    """Ends the command with a message and a status when the body fails in an expected way.

    Args:
        work: what is said to be cancelled when the user interrupts it.
    """
    try:
        yield
        sys.stdout.flush()
    except CandelabraError as error:
        report_error(error)
        raise typer.Exit(FAILED) from None
    except BrokenPipeError:
        # What is still buffered must not fail again when the interpreter flushes it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(BROKEN_PIPE) from None
    except OSError as error:
        _print(Text(f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")))
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        _print(Text(f"interrupted; the {work} was cancelled"))
        raise typer.Exit(INTERRUPTED) from None


def report_error(error: CandelabraError) -> None:
    """Prints an error; everything that is wrong with a request, with the place in the formula in colour."""
    if not isinstance(error, CallError):
        _print(Text(str(error)))
        return
    violations = error.violations or (Violation("", str(error)),)
    for violation in violations:
        _print(_described(violation))
    if error.reason or error.request_id:
        details = [f"reason {error.reason}"] if error.reason else []
        details += [f"request {error.request_id}"] if error.request_id else []
        error_console().print(Text(", ".join(details), style="dim"))
    if error.retry_after is not None:
        error_console().print(f"Try again in {error.retry_after:g} s.")


def error_text(description: str, *, field: str = "") -> None:
    """Prints what is wrong with a formula or a job, its lines of carets in colour."""
    _print(_described(Violation(field, description)))


def report_symbols(errors: Mapping[str, SymbolError], *, total: int, warnings: Iterable[str] = ()) -> None:
    """Lists the symbols that failed, and what the server wants users to know."""
    _report_warnings(warnings)
    if not errors:
        return
    _print(Text(f"{len(errors):,} of {counted(total, 'symbol')} failed"))
    _list_errors(errors)


def report_screen(screen: Screen, *, given: int) -> None:
    """Says what the server wants users to know, which symbols failed and, in one line, how many passed.

    Args:
        screen: a screen that has come to its end.
        given: how many symbols it has given, fewer than passed where it has a limit.
    """
    _report_warnings(screen.info.warnings if screen.info is not None else ())
    _list_errors(screen.errors)
    summary = Text(f"{screen.symbols_passed:,} of {counted(screen.symbols_total, 'symbol')} passed")
    if given < screen.symbols_passed:
        summary.append(f", the first {given:,} are given")
    if screen.symbols_failed:
        reasons = Counter(error.reason for error in screen.errors.values()).most_common()
        unlisted = screen.symbols_failed - len(screen.errors)
        texts = [f"{count:,} {reason}" for reason, count in reasons] + ([f"{unlisted:,} unlisted"] if unlisted else [])
        summary.append(f", {screen.symbols_failed:,} failed ({', '.join(texts)})", style="red")
    error_console().print(summary)


def _report_warnings(warnings: Iterable[str]) -> None:
    for warning, count in Counter(warnings).items():
        where = f" ({counted(count, 'symbol')})" if count > 1 else ""
        error_console().print(Text.assemble(("warning: ", "bold yellow"), warning, where))


def _list_errors(errors: Mapping[str, SymbolError]) -> None:
    """Prints the first symbols that failed, a line each."""
    console = error_console()
    width = max((len(symbol) for symbol in list(errors)[:_MOST_SYMBOLS]), default=0)
    for symbol, error in list(errors.items())[:_MOST_SYMBOLS]:
        console.print(Text.assemble("  ", (symbol.ljust(width), "bold"), f"  {error.message} ", (error.reason, "dim")))
    if len(errors) > _MOST_SYMBOLS:
        console.print(f"  and {len(errors) - _MOST_SYMBOLS:,} more")


def _described(violation: Violation) -> Text:
    """Returns a violation, its line of carets in colour."""
    text = Text()
    if violation.field:
        text.append(f"{violation.field}: ", style="bold")
    lines = violation.description.split("\n")
    for number, line in enumerate(lines):
        is_caret = number > 0 and line.strip() != "" and not line.strip(" ^")
        text.append(line + ("\n" if number < len(lines) - 1 else ""), style="bold red" if is_caret else "")
    return text


def _print(text: Text) -> None:
    error_console().print(Text.assemble(("error: ", "bold red"), text))
