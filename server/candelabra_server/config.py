"""The server's settings: what they are, how they are checked, what they default to."""

from __future__ import annotations

import ipaddress
import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from candelabra_server.errors import ConfigurationError

__all__ = [
    "DEFAULT_LISTEN",
    "DEFAULT_STORE",
    "JobLimits",
    "LoadLimits",
    "ServerConfig",
    "TimeLimits",
    "available_cpus",
]

DEFAULT_LISTEN = "127.0.0.1:50051"
DEFAULT_STORE = Path("candelabra-data")

_MOST_SYMBOL_SECONDS = 2_000_000
"""Some 23 days: milliseconds of it have 32 bits."""
_MOST_JOB_SECONDS = 1_000_000_000
_MOST_WINDOWS_WORKERS = 61
"""What Windows can wait for at once."""
_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobLimits:
    """What one job may ask for; a job beyond a limit is refused before anything is sent."""

    max_symbols: int = 100_000
    """Most symbols, after patterns were resolved."""
    max_patterns: int = 100
    """Most patterns among the symbols: each is tried on every stored symbol."""
    max_parameters: int = 256
    """Most parameters."""
    max_expression_length: int = 16_384
    """Most characters of a formula."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimits:
    """How long things may take, in seconds, each above 0."""

    symbol_seconds: float = 60.0
    """For one symbol, or the rows of one that a chunk of work has; a job may set less."""
    job_seconds: float = 3_600.0
    """For one job, a slow client included; the caller's deadline may be earlier."""
    grace_seconds: float = 5.0
    """What a worker gets beside that, before it is ended; twice as long nothing need move in a pool."""

    def __post_init__(self) -> None:
        _require_above_zero(self, "symbol_seconds", "job_seconds", "grace_seconds")
        for name, most in (("symbol_seconds", _MOST_SYMBOL_SECONDS), ("job_seconds", _MOST_JOB_SECONDS)):
            if getattr(self, name) > most:
                raise ConfigurationError(
                    f"{name.replace('_', ' ')} must be {most:,} or less, not {getattr(self, name)}"
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadLimits:
    """What all jobs together may have; a job beyond a limit is refused before anything is sent, and told when to come.

    A server that has no job takes any that `JobLimits` allow.
    """

    max_jobs: int = 100
    """Most jobs and screens at once."""
    max_queued_symbols: int = 1_000_000
    """Most symbols that wait to be computed."""
    max_waiting_mebibytes: int = 512
    """Most results that wait for their clients when another job is taken."""

    def __post_init__(self) -> None:
        _require_above_zero(self, "max_jobs", "max_queued_symbols", "max_waiting_mebibytes")


def _require_above_zero(limits: object, *names: str) -> None:
    for name in names:
        value = getattr(limits, name)
        if not 0 < value < math.inf:
            raise ConfigurationError(f"{name.replace('_', ' ')} must be above 0 and finite, not {value}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything that can be set; checked when it is made.

    Raises:
        ConfigurationError: a value cannot work; the message names the setting and what it may be.
    """

    listen: str = DEFAULT_LISTEN
    """Address and port (0 lets the system choose), or `unix:PATH`."""
    store: Path = DEFAULT_STORE
    """Folder of the candle store; made by the first import."""
    workers: int
    """Worker processes, 1 or more."""
    insecure: bool = False
    """Allows an address that other machines can reach although traffic is not encrypted."""
    drain_seconds: float = 30.0
    """After SIGTERM: how long running jobs may go on."""
    results_folder: Path | None = None
    """Folder for results on their way from workers to the server, best in memory; None chooses."""
    result_slot_mebibytes: int = 16
    """Most results of one chunk of work, 1 or more; there are 2 × (workers + 1) slots of this size."""
    job_buffer_mebibytes: int = 8
    """Results of a job that may wait for its client before no more are computed, 1 or more."""
    limits: JobLimits = JobLimits()
    time_limits: TimeLimits = TimeLimits()
    load_limits: LoadLimits = LoadLimits()

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigurationError(f"workers must be 1 or more, not {self.workers}")
        if not self.drain_seconds >= 0:
            raise ConfigurationError(f"drain seconds must be 0 or more, not {self.drain_seconds}")
        for name in ("result_slot_mebibytes", "job_buffer_mebibytes"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name.replace('_', ' ')} must be 1 or more, not {getattr(self, name)}")
        try:
            is_file = self.store.exists() and not self.store.is_dir()
        except OSError as error:
            raise ConfigurationError(f"store {self.store} cannot be reached: {error.strerror}") from error
        if is_file:
            raise ConfigurationError(f"store {self.store} is a file; expected a folder")
        if not _is_local(self.listen) and not self.insecure:
            raise ConfigurationError(
                f"listen address {self.listen} can be reached from other machines and traffic is not encrypted; "
                "listen on 127.0.0.1, or add --insecure if the network itself is trusted"
            )


def available_cpus() -> int:
    """Processors that this process may use: affinity and a container's quota respected, at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 4
    usable = max(1, min(affinity, _quota() or affinity))
    return min(usable, _MOST_WINDOWS_WORKERS) if sys.platform == "win32" else usable


def _quota() -> int | None:
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        return None


def _is_local(listen: str) -> bool:
    """Whether only this machine can reach the address; raises when it is not an address."""
    if listen.startswith("unix:") and listen != "unix:":
        return True
    host, separator, port = listen.rpartition(":")
    is_bare_ipv6 = ":" in host and not (host.startswith("[") and host.endswith("]"))
    if not separator or not port.isdecimal() or int(port) > 65_535 or not host or is_bare_ipv6:
        raise ConfigurationError(
            f"listen address {listen!r} is not HOST:PORT (such as {DEFAULT_LISTEN} or [::1]:50051) or unix:PATH"
        )
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a host name may mean any interface
