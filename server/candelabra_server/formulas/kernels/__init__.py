"""Kernels: columns in, new columns out. They know nothing of formulas, and never change what they are given."""
