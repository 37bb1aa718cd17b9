"""When and how often the client tries again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

__all__ = ["RetryPolicy"]

_MOST_JITTER: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """What the client does when the server is unavailable, overloaded or lost: waits, and tries again.

        Client(retry=RetryPolicy(max_attempts=20))  # patient enough for a server that restarts
        Client(retry=RetryPolicy(max_attempts=1))  # never tries again

    A job whose stream breaks is sent again for the symbols that have not arrived whole, so that each comes once; a
    screen is sent again whole, and rows that were handed out are left out. Jobs, screens and all other calls but
    `health` are also sent again when the server is UNAVAILABLE, and when it is overloaded and says when to come back
    (RESOURCE_EXHAUSTED with a `RetryInfo`). Nothing else is repeated; client/docs/faults.md has more.

    Attributes:
        max_attempts: tries in a row without any new symbol, the first one included, 1 or more; 1 never repeats.
        initial_backoff_seconds: mean wait before the second try; waits vary by 20 %.
        max_backoff_seconds: no mean wait is longer, unless the server asks for it.
        multiplier: how much longer each wait is than the one before.
        max_retry_after_seconds: longest wait that a server may ask for; when it asks for a longer one, its error is
            raised at once, with `retry_after`.
    """

    max_attempts: int = 5
    initial_backoff_seconds: float = 0.2
    max_backoff_seconds: float = 5.0
    multiplier: float = 2.0
    max_retry_after_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}; expected 1 or more")
        if self.initial_backoff_seconds <= 0 or self.max_backoff_seconds <= 0 or self.multiplier <= 0:
            raise ValueError("initial_backoff_seconds, max_backoff_seconds and multiplier must be above 0")
        if self.max_retry_after_seconds < 0:
            raise ValueError("max_retry_after_seconds must be 0 or more")

    def backoff_seconds(
        self, retry: int, *, retry_after: float | None = None, draw: Callable[[], float] = random.random
    ) -> float:
        """Returns how long to wait before a retry, counted from 1.

        Within 20 % of the mean, by `draw` from [0, 1), so that clients of one server do not come back at
        the same moment; and no less than the server asks for, but up to 20 % more.
        """
        try:
            mean = min(self.initial_backoff_seconds * self.multiplier ** (retry - 1), self.max_backoff_seconds)
        except OverflowError:
            mean = self.max_backoff_seconds
        jitter = _MOST_JITTER * draw()
        return max(mean * (1 - _MOST_JITTER + 2 * jitter), (retry_after or 0.0) * (1 + jitter))
