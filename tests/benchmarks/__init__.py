"""Benchmarks: one command a suite, every peer side by side in one run (`make bench SUITE=…`)."""
