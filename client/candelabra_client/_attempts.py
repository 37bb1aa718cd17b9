"""Whether a call that ended with an error is made again, and when: jobs, screens and other calls alike."""

from __future__ import annotations

import time
from collections.abc import Callable

import grpc

from candelabra_client._exceptions import DeadlineExceeded
from candelabra_client._faults import is_passing
from candelabra_client._retry import RetryPolicy
from candelabra_client._status import to_exception

__all__ = ["Attempts"]


class Attempts:
    """The attempts of one job, screen or other call, within its timeout and the client's policy. Does no I/O."""

    def __init__(
        self,
        *,
        address: str,
        retry: RetryPolicy,
        timeout_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address
        self._retry = retry
        self._timeout_seconds = timeout_seconds
        self._deadline: float | None = None
        self._clock = clock
        self._fruitless = 0

    def begin(self) -> None:
        """Starts the timeout; called when the first request is sent."""
        if self._timeout_seconds is not None:
            self._deadline = self._clock() + self._timeout_seconds

    def remaining_seconds(self) -> float | None:
        """Returns how much of the timeout is left, at least 0; None when there is none."""
        return None if self._deadline is None else max(0.0, self._deadline - self._clock())

    def succeed(self) -> None:
        """Takes note that an attempt brought something new: the policy counts from here again."""
        self._fruitless = 0

    def fail(self, error: grpc.RpcError, *, may_repeat: bool = True) -> float:
        """Takes the error that ended a call; returns how many seconds to wait before sending again.

        Args:
            error: grpc's error.
            may_repeat: whether sending again can go on from what has arrived.

        Raises:
            CallError: the error, when sending again would not help, when the attempts are used up, or when the server
                asks for a longer wait than the policy allows.
            DeadlineExceeded: the timeout would pass during the wait.
        """
        failure = to_exception(error, address=self._address)
        if not may_repeat or not is_passing(error, failure):
            raise failure from error
        self._fruitless += 1
        retry_after = failure.retry_after
        if self._fruitless >= self._retry.max_attempts or (retry_after or 0.0) > self._retry.max_retry_after_seconds:
            raise failure from error
        delay = self._retry.backoff_seconds(self._fruitless, retry_after=retry_after)
        remaining = self.remaining_seconds()
        if remaining is not None and delay >= remaining:
            raise DeadlineExceeded(
                f"the timeout of {self._timeout_seconds:g} s leaves no time to try again after: {failure}",
                code=grpc.StatusCode.DEADLINE_EXCEEDED,
                reason=failure.reason,
                metadata=failure.metadata,
                retry_after=retry_after,
                request_id=failure.request_id,
            ) from error
        return delay
