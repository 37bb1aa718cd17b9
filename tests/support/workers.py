"""Work for pools, and waiting that is bounded."""

import threading
import time

LIMIT_SECONDS = 60.0


def run_until(condition):
    """Returns when the condition holds; fails when it does not within a generous limit."""
    deadline = time.monotonic() + LIMIT_SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"{condition} did not come true within {LIMIT_SECONDS} s"
        pause.wait(0.005)


def sleep_in_worker(seconds):
    """Keeps a worker busy for longer than any test waits."""
    threading.Event().wait(seconds)
