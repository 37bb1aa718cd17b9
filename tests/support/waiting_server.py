"""Serves the memory repository as the command serves a store: `python -m support.waiting_server MARKER SECONDS`.

The symbol WAITS is done once the file MARKER is there; the seconds are those that jobs have at the end.
"""

import asyncio
import sys
from pathlib import Path

from candelabra_server import app
from candelabra_server.config import ServerConfig
from support.memory_repository import MemoryRepository


def main():
    app.create_candle_repository = lambda _config: MemoryRepository(["A", "WAITS"], marker=sys.argv[1])
    config = ServerConfig(listen="127.0.0.1:0", store=Path("unused"), workers=2, drain_seconds=float(sys.argv[2]))
    ending = asyncio.run(app.serve(config, on_ready=lambda address, _repository: say(address)))
    say("stopped")
    sys.exit(ending)


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
