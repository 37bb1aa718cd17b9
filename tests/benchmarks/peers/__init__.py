"""Peers that run in a process of their own, some in an environment of their own: each prints one line of JSON."""
