"""The server whose calls are cancelled: `python -m soak.our_server MARKER RESULTS-FOLDER`.

The symbol WAITS is done once the file MARKER is there; BIG has results of several messages.
"""

import sys
from pathlib import Path

from candelabra_server import app
from candelabra_server.config import ServerConfig, TimeLimits
from support.memory_repository import MemoryRepository
from support.waiting_server import say

ROWS = 150_000


def main():
    repository = MemoryRepository(["BIG", "WAITS"], rows=ROWS, marker=sys.argv[1])
    app.create_candle_repository = lambda _config: repository
    config = ServerConfig(
        listen="127.0.0.1:0",
        store=Path("unused"),
        workers=2,
        results_folder=Path(sys.argv[2]),
        time_limits=TimeLimits(grace_seconds=3_600),  # workers that are held are not to be ended
    )
    app.run(config, on_ready=lambda address, _repository: say(address))
    say("stopped")


if __name__ == "__main__":
    main()
