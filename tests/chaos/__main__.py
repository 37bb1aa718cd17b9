"""`make chaos`: faults until there were enough of them, and a report; exits with 1 when a promise was broken."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.report import console
from chaos.lab import Settings
from chaos.report import publish
from chaos.run import run

__all__ = ["main"]


def main() -> int:
    """Runs once; 1 when anything was lost, doubled, wrong or hung, or the server did not come through."""
    parser = argparse.ArgumentParser(prog="make chaos", description="Injects faults into a server under load.")
    parser.add_argument("--faults", type=int, default=1_000, help="to inject into the server's processes")
    parser.add_argument("--seed", type=int, help="of all choices; default: a new one, which is printed")
    parser.add_argument("--workers", type=int, default=2, help="of the server")
    parser.add_argument("--lanes", type=int, default=4, help="clients at the same time")
    parser.add_argument("--gap", type=float, default=0.25, help="mean seconds between faults")
    parser.add_argument("--hang", type=float, default=60.0, help="seconds without news after which a job hangs")
    parser.add_argument(
        "--stops",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="stop workers for good, too; only time limits find them",
    )
    parser.add_argument("--keep", action="store_true", help="keep the run's folder, with the server's log")
    arguments = parser.parse_args()
    settings = Settings(
        faults=arguments.faults,
        seed=secrets.randbelow(1_000_000) if arguments.seed is None else arguments.seed,
        workers=arguments.workers,
        lanes=arguments.lanes,
        gap_seconds=arguments.gap,
        hang_seconds=arguments.hang,
        stops=arguments.stops,
    )
    screen = console()
    screen.print(f"chaos: {settings.faults} faults, seed {settings.seed}")
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    outcome = asyncio.run(run(settings, folder))
    publish(outcome)
    if arguments.keep or not outcome.is_good:
        screen.print(f"the server's log is {folder / 'server.log'}; again with --seed {settings.seed}", soft_wrap=True)
    else:
        shutil.rmtree(folder)
    return int(not outcome.is_good)


if __name__ == "__main__":
    sys.exit(main())
