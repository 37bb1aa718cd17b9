"""The installed commands, run as a user runs them."""

import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent
LONGEST_SECONDS = 120


class ServerCommand:
    """A running `candelabra-server serve`."""

    def __init__(self, process):
        self.process = process
        self.address = ""
        self.banner = ""

    def wait_for_banner(self):
        """Reads all of the banner, so that nothing of it stays in a buffer that `stop` does not read."""
        for line in self.process.stdout:
            self.banner += line
            if "listening on" in line:
                self.address = line.split()[-1]
            if line.startswith("  workers"):
                return
        raise AssertionError(f"the server ended before it listened: {self.process.communicate()[1]}")

    def stop(self, signal_number=signal.SIGTERM):
        """Sends a signal and gives the exit status and what was printed."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        output, errors = self.process.communicate(timeout=LONGEST_SECONDS)
        return self.process.returncode, self.banner + output, errors


@contextmanager
def serving_command(*options, folder=BIN, variables=None):
    """Starts the server that is installed in a folder on a port that the system chooses; ends it after."""
    command = [str(folder / "candelabra-server"), "serve", "--listen", "127.0.0.1:0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables)
    server = ServerCommand(process)
    try:
        server.wait_for_banner()
        yield server
    finally:
        if process.returncode is None:
            status, _, errors = server.stop()
            assert status == 0, errors
