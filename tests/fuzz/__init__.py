"""Fuzzing of the formula language: `make fuzz`, and the parts of it that a short test uses too."""
