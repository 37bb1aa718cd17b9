"""Serves the memory repository as the command serves a store: `python -m support.waiting_server MARKER SETTINGS`.

The symbol WAITS is done once the file MARKER is there; the settings are those of ServerConfig, in JSON.
"""

import json
import sys
from pathlib import Path

from candelabra_server import app
from candelabra_server.config import LoadLimits, ServerConfig
from support.memory_repository import MemoryRepository

MANY = 200
"""Symbols beside those, whose names begin with S."""


def main():
    app.create_candle_repository = lambda _config: MemoryRepository(
        ["A", "WAITS", *(f"S{number:03}" for number in range(MANY))], rows=1_000, marker=sys.argv[1]
    )
    settings = json.loads(sys.argv[2])
    for name, kind in (("results_folder", Path), ("load_limits", lambda limits: LoadLimits(**limits))):
        if name in settings:
            settings[name] = kind(settings[name])
    config = ServerConfig(store=Path("unused"), workers=2, **settings)
    ending = app.run(config, on_ready=lambda address, _repository: say(address))
    say("stopped")
    sys.exit(ending)


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
