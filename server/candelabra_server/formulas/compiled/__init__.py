"""Compiled kernels: a machine that runs a program of instructions over the columns of one symbol.

Importing the package imports no compiler; its modules `opcodes` and `loading` do not either.
"""
