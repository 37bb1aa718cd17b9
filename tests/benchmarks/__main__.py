"""Runs one benchmark suite by name; exits non-zero when a promise of the suite is broken."""

import argparse
import sys

from benchmarks import lifecycle

SUITES = {"lifecycle": lifecycle.main}


def main() -> int:
    """Runs the suite that the command line names."""
    parser = argparse.ArgumentParser(prog="make bench", description="Measures Candelabra beside its peers.")
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--runs", type=int, default=7, help="runs of every subject; the median is reported")
    arguments = parser.parse_args()
    return SUITES[arguments.suite](runs=arguments.runs)


if __name__ == "__main__":
    sys.exit(main())
