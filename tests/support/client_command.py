"""The `candelabra` command, run as a shell runs it."""

import os
import re
import select
import subprocess
import sys
import time

COMMAND = [sys.executable, "-m", "candelabra_client.cli"]
WAIT_SECONDS = 30


def run(address, *arguments, stdin=None, text=True, **environment):
    """Runs the command to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        input=stdin,
        text=text,
        check=False,
        timeout=WAIT_SECONDS,
        env={**os.environ, "CANDELABRA_SERVER": address, **environment},
    )


def started(address, *arguments, **streams):
    """Starts the command; what it prints can be read from `stdout` unless that is another stream."""
    environment = {**os.environ, "CANDELABRA_SERVER": address, "COLUMNS": "120", "LINES": "40", "TERM": "xterm"}
    return subprocess.Popen([*COMMAND, *arguments], **{"stdout": subprocess.PIPE, "env": environment, **streams})


def read_until(descriptor, expected):
    """Reads a terminal until it has shown the bytes; returns all that it has shown, without control sequences."""
    seen = b""
    deadline = time.monotonic() + WAIT_SECONDS
    while expected not in seen:
        assert time.monotonic() < deadline, seen
        if select.select([descriptor], [], [], 1)[0]:
            seen = re.sub(rb"\x1b\[[0-9;?]*[A-Za-z]", b"", seen + os.read(descriptor, 65_536))
    return seen
