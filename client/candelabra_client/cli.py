"""The `candelabra` command: see `_commands` for what it does.

Nothing heavy is imported here, so that the command can say what is missing instead of failing with a traceback.
"""

from __future__ import annotations

import importlib
import os
import sys

from candelabra_client._memory import keep_freed_memory

__all__ = ["main"]

_EXTRA_LIBRARIES = frozenset({"typer", "rich", "click"})


def main() -> None:
    """Runs the command; ends the process with its exit status."""
    # What gRPC's core logs on its own, such as a connection that the server closed, is no output of ours: the
    # command says itself what went wrong. Read when grpc is imported, hence before.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    keep_freed_memory()
    try:
        commands = importlib.import_module("candelabra_client._commands.app")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA_LIBRARIES:
            raise
        sys.stderr.write(f"candelabra: {error.name} is not installed: pip install 'candelabra[cli]'\n")
        sys.exit(2)
    commands.app(prog_name="candelabra")


if __name__ == "__main__":
    main()
