"""The settings of `serve` and `check-config`: each is an option, most are environment variables, too."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from candelabra_server.config import (
    DEFAULT_LISTEN,
    DEFAULT_STORE,
    LoadLimits,
    ServerConfig,
    TimeLimits,
    available_cpus,
)
from candelabra_server.store_commands import Store

__all__ = ["SETTINGS", "Setting", "with_settings"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One option of the command.

    Attributes:
        name: of the parameter; the option is called so, with hyphens.
        kind: its type and how it is told of.
        default: as the command shows it.
        field: of ServerConfig, or `group.field` of one of its groups.
    """

    name: str
    kind: Any
    default: object
    field: str

    def value_in(self, config: ServerConfig) -> object:
        """What a configuration has."""
        value: Any = config
        for name in self.field.split("."):
            value = getattr(value, name)
        return value


def _option(kind: Any, variable: str | None, text: str, **more: Any) -> Any:  # noqa: ANN401 - what typer takes
    return Annotated[kind, typer.Option(envvar=variable, help=text, **more)]


_TIME, _LOAD = TimeLimits(), LoadLimits()

SETTINGS = (
    Setting(
        "listen",
        _option(str, "CANDELABRA_LISTEN", "HOST:PORT (port 0: the system chooses) or unix:PATH."),
        DEFAULT_LISTEN,
        "listen",
    ),
    Setting("store", Store, DEFAULT_STORE, "store"),
    Setting(
        "workers",
        _option(int | None, "CANDELABRA_WORKERS", "Worker processes.", min=1, show_default="CPUs it may use"),
        None,
        "workers",
    ),
    Setting(
        "drain_seconds",
        _option(float, None, "After SIGTERM: how long running jobs may go on.", min=0),
        30.0,
        "drain_seconds",
    ),
    Setting(
        "symbol_time_limit",
        _option(
            float,
            "CANDELABRA_SYMBOL_TIME_LIMIT",
            "Most time for one symbol; a job may set less.",
            metavar="SECONDS",
            min=0.001,
        ),
        _TIME.symbol_seconds,
        "time_limits.symbol_seconds",
    ),
    Setting(
        "job_time_limit",
        _option(
            float,
            "CANDELABRA_JOB_TIME_LIMIT",
            "Most time for one job, a slow client included.",
            metavar="SECONDS",
            min=0.001,
        ),
        _TIME.job_seconds,
        "time_limits.job_seconds",
    ),
    Setting(
        "max_jobs",
        _option(int, "CANDELABRA_MAX_JOBS", "Most jobs at once; further ones are told when to come again.", min=1),
        _LOAD.max_jobs,
        "load_limits.max_jobs",
    ),
    Setting(
        "max_queued_symbols",
        _option(int, "CANDELABRA_MAX_QUEUED_SYMBOLS", "Most symbols of all jobs that wait to be computed.", min=1),
        _LOAD.max_queued_symbols,
        "load_limits.max_queued_symbols",
    ),
    Setting(
        "max_waiting",
        _option(
            int,
            "CANDELABRA_MAX_WAITING",
            "Most results of all jobs that wait for clients when another job is taken.",
            metavar="MIB",
            min=1,
        ),
        _LOAD.max_waiting_mebibytes,
        "load_limits.max_waiting_mebibytes",
    ),
    Setting(
        "results_folder",
        _option(
            Path | None,
            "CANDELABRA_RESULTS_FOLDER",
            "Folder for results on their way from workers, best one in memory.",
            show_default="shared memory, or that for temporary files",
        ),
        None,
        "results_folder",
    ),
    Setting(
        "result_slot",
        _option(
            int,
            "CANDELABRA_RESULT_SLOT",
            "Most results of one chunk of work; the folder has 2 × (workers + 1) times this.",
            metavar="MIB",
            min=1,
        ),
        16,
        "result_slot_mebibytes",
    ),
    Setting(
        "job_buffer",
        _option(
            int,
            "CANDELABRA_JOB_BUFFER",
            "Results of a job that may wait for its client before no more are computed.",
            metavar="MIB",
            min=1,
        ),
        8,
        "job_buffer_mebibytes",
    ),
    Setting(
        "insecure",
        Annotated[
            bool, typer.Option("--insecure", help="Allow an address other than this machine's own without encryption.")
        ],
        False,
        "insecure",
    ),
)


def with_settings(command: Callable[[ServerConfig], None]) -> Callable[..., None]:
    """A typer command with all settings as options, whose body gets what they make together."""

    @wraps(command)
    def run(**values: Any) -> None:  # noqa: ANN401 - each setting has its own type
        command(_config(values))

    run.__annotations__ = {setting.name: setting.kind for setting in SETTINGS}
    run.__signature__ = inspect.Signature(  # type: ignore[attr-defined] # what typer reads
        [
            inspect.Parameter(
                setting.name, inspect.Parameter.KEYWORD_ONLY, default=setting.default, annotation=setting.kind
            )
            for setting in SETTINGS
        ]
    )
    del run.__wrapped__  # typer would look there
    return run


def _config(values: dict[str, Any]) -> ServerConfig:
    fields: dict[str, Any] = {}
    groups: dict[str, dict[str, Any]] = {"time_limits": {}, "load_limits": {}}
    for setting in SETTINGS:
        group, _, field = setting.field.rpartition(".")
        (groups[group] if group else fields)[field] = values[setting.name]
    fields["workers"] = fields["workers"] or available_cpus()
    return ServerConfig(
        **fields, time_limits=TimeLimits(**groups["time_limits"]), load_limits=LoadLimits(**groups["load_limits"])
    )
