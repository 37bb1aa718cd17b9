"""When and how often the client tries again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["RetryPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """What the client does when the server is unavailable: waits, longer each time, and tries again.

    Before a call's first message gRPC itself repeats it, by the service configuration made here; a job that
    had begun is sent again by the client for the symbols it has not got, a screen whole, unless it is sorted and
    some of it has been handed out. Nothing is repeated for any other status.

    Attributes:
        max_attempts: tries in a row without any progress, the first one included, 1 to 5; 1 never repeats.
        initial_backoff_seconds: mean wait before the second try.
        max_backoff_seconds: no mean wait is longer.
        multiplier: how much longer each wait is than the one before.
    """

    max_attempts: int = 5
    initial_backoff_seconds: float = 0.2
    max_backoff_seconds: float = 5.0
    multiplier: float = 2.0

    def __post_init__(self) -> None:
        if not 1 <= self.max_attempts <= 5:
            raise ValueError(f"max_attempts is {self.max_attempts}; expected 1 to 5, the most that gRPC allows")
        if self.initial_backoff_seconds <= 0 or self.max_backoff_seconds <= 0 or self.multiplier <= 0:
            raise ValueError("initial_backoff_seconds, max_backoff_seconds and multiplier must be above 0")

    def backoff_seconds(self, retry: int, *, draw: Callable[[], float] = random.random) -> float:
        """Returns how long to wait before a retry, counted from 1.

        Within 20 % of the mean, by `draw` from [0, 1), so that clients of one server do not come back at
        the same moment.
        """
        mean = min(self.initial_backoff_seconds * self.multiplier ** (retry - 1), self.max_backoff_seconds)
        return mean * (0.8 + 0.4 * draw())

    def service_config(self) -> dict[str, Any]:
        """Returns the gRPC service configuration that repeats calls before their first message.

        Health is asked for as it is now, so those calls are never repeated.
        """
        if self.max_attempts == 1:
            return {}
        return {
            "methodConfig": [
                {
                    "name": [{}],
                    "retryPolicy": {
                        "maxAttempts": self.max_attempts,
                        "initialBackoff": f"{self.initial_backoff_seconds:.3f}s",
                        "maxBackoff": f"{self.max_backoff_seconds:.3f}s",
                        "backoffMultiplier": self.multiplier,
                        "retryableStatusCodes": ["UNAVAILABLE"],
                    },
                },
                {"name": [{"service": "grpc.health.v1.Health"}]},
            ]
        }
