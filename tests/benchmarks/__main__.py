"""Runs one benchmark suite by name; exits non-zero when a promise of the suite is broken."""

import argparse
import sys

from benchmarks import compute, lifecycle
from benchmarks.delivery import suite as delivery

SUITES = {
    "compute": lambda asked: compute.main(runs=asked.runs, quick=asked.quick),
    "delivery": lambda asked: delivery.main(runs=asked.runs, quick=asked.quick, parts=asked.part),
    "lifecycle": lambda asked: lifecycle.main(runs=1 if asked.quick else asked.runs),
}


def main() -> int:
    """Runs the suite that the command line names."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measures Candelabra beside its peers.")
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--runs", type=int, default=7, help="runs of every subject; the median is reported")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that every subject works")
    parser.add_argument(
        "--part", action="append", default=[], choices=list(delivery.PARTS), help="of delivery: nothing else"
    )
    arguments = parser.parse_args()
    return SUITES[arguments.suite](arguments)


if __name__ == "__main__":
    sys.exit(main())
