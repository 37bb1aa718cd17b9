"""Runs one benchmark suite by name; exits non-zero when a promise of the suite is broken."""

import argparse
import sys

from benchmarks import compute, lifecycle


def _lifecycle(*, runs: int, quick: bool) -> int:
    return lifecycle.main(runs=1 if quick else runs)


SUITES = {
    "compute": compute.main,
    "lifecycle": _lifecycle,
}


def main() -> int:
    """Runs the suite that the command line names."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measures Candelabra beside its peers.")
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--runs", type=int, default=7, help="runs of every subject; the median is reported")
    parser.add_argument("--quick", action="store_true", help="tiny sizes, to see that every subject works")
    arguments = parser.parse_args()
    return SUITES[arguments.suite](runs=arguments.runs, quick=arguments.quick)


if __name__ == "__main__":
    sys.exit(main())
