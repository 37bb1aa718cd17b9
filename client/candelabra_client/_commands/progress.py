"""Shows how far a job is: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from candelabra_client._run import Progress

__all__ = ["ProgressBar"]


class _RateColumn(ProgressColumn):
    """Symbols a second."""

    def render(self, task: Task) -> Text:
        """Returns the rate since the start, which a stall lowers at once."""
        return Text(f"{task.completed / task.elapsed:,.0f}/s" if task.elapsed else "", style="progress.data.speed")


class ProgressBar:
    """A context manager; shows nothing at all when there is no terminal to show it on."""

    def __init__(self, console: Console, *, wanted: bool = True) -> None:
        self._bar = Bar(*_columns(), console=console, transient=True) if wanted and console.is_terminal else None

    @property
    def report(self) -> Callable[[Progress], None] | None:
        """The function to report progress to; None when nobody would see it."""
        return None if self._bar is None else self._report

    def stop(self) -> None:
        """Takes the bar off the terminal, so that something else can be printed; a second call does nothing."""
        if self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.add_task("Processing", total=None, failed="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _report(self, progress: Progress) -> None:
        if self._bar is not None:
            failed = f"{progress.symbols_failed:,} failed" if progress.symbols_failed else ""
            self._bar.update(
                self._bar.task_ids[0], completed=progress.symbols_done, total=progress.symbols_total, failed=failed
            )


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("symbols"),
        _RateColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[failed]}", style="red"),
    )
