"""Shows how far a job or a screen is: a bar on a terminal or in a notebook, nothing elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.text import Text

from candelabra_client._frames import import_optional
from candelabra_client._run import Progress

__all__ = ["ProgressBar"]

_SECONDS_BETWEEN_UPDATES: Final = 0.1


class _RateColumn(ProgressColumn):
    """Symbols a second."""

    def render(self, task: Task) -> Text:
        """Returns the rate since the start, which a stall lowers at once."""
        return Text(f"{task.completed / task.elapsed:,.0f}/s" if task.elapsed else "", style="progress.data.speed")


class _Bar(Bar):
    """A bar that has something above it, which is asked for whenever the bar is drawn."""

    def __init__(self, above: Callable[[], RenderableType] | None, **options: Any) -> None:  # noqa: ANN401 - rich's
        self._above = above
        super().__init__(*_columns(), **options)

    def get_renderables(self) -> Iterable[RenderableType]:
        """Gives what is drawn, from top to bottom."""
        if self._above is not None:
            yield self._above()
        yield self.make_tasks_table(self.tasks)


class ProgressBar:
    """A context manager to be called with each `Progress`; does nothing where nobody would see it."""

    def __init__(
        self,
        console: Console,
        *,
        wanted: bool = True,
        label: str = "Processing",
        transient: bool = True,
        above: Callable[[], RenderableType] | None = None,
    ) -> None:
        """Makes the bar; it shows within the `with` block.

        Args:
            console: where to draw.
            wanted: False for no bar at all.
            label: stands before the bar.
            transient: whether the bar goes away at its end.
            above: what to draw above the bar, asked for several times a second by another thread.
        """
        visible = wanted and (console.is_terminal or console.is_jupyter)
        self._bar = _Bar(above, console=console, transient=transient) if visible else None
        self._label = label
        self._notebook: Any = None  # IPython's handle of what the notebook shows
        self._updated = 0.0

    def __call__(self, progress: Progress) -> None:
        """Shows this progress. When it is behind what was shown, something new has begun, and so does the clock."""
        if self._bar is None:
            return
        if not self._bar.tasks:
            raise RuntimeError("a progress bar shows within its block: with progress_bar() as bar: …")
        (task,) = self._bar.tasks
        if progress.symbols_done < task.completed:
            self._bar.reset(task.id)
        failed = f"{progress.symbols_failed:,} failed" if progress.symbols_failed else ""
        self._bar.update(task.id, completed=progress.symbols_done, total=progress.symbols_total, failed=failed)
        now = time.monotonic()
        if self._notebook is not None and now - self._updated >= _SECONDS_BETWEEN_UPDATES:
            self._updated = now
            self._notebook.update(self._bar)

    def stop(self) -> None:
        """Takes the bar off the terminal, so that something else can be printed; a second call does nothing."""
        if self._notebook is not None:
            self._notebook.update(self._bar)
        elif self._bar is not None:
            self._bar.stop()

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.add_task(self._label, total=None, failed="")
            if self._bar.console.is_jupyter:
                # Not rich's own way, which shows nothing in a notebook without the widgets of ipywidgets.
                self._notebook = import_optional("IPython.display").display(self._bar, display_id=True)
            else:
                self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


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
