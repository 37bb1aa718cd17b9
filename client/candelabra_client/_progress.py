"""A progress bar for programs and notebooks: the one that the command shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from candelabra_client._frames import import_optional

if TYPE_CHECKING:
    from candelabra_client._commands.progress import ProgressBar

__all__ = ["progress_bar"]


def progress_bar(label: str = "Processing") -> ProgressBar:
    """Returns a bar with rate and remaining time, to be given as the `progress` of a job or a screen.

        with progress_bar() as bar:
            results = client.process("*", timeframe="1d", formula="rsi(close, 14)", progress=bar).results()

    It shows on a terminal (on standard error) and in a Jupyter notebook, and nothing elsewhere. One bar serves any
    number of jobs, one after the other.

    Args:
        label: stands before the bar.

    Raises:
        MissingDependency: rich is not installed.
    """
    consoles = import_optional("rich.console", install="'candelabra[cli]'")
    bars = import_optional("candelabra_client._commands.progress")
    bar: ProgressBar = bars.ProgressBar(consoles.Console(stderr=True), label=label, transient=False)
    return bar
