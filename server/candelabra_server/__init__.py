"""Candelabra's server: jobs over candles, dispatched to a process pool, streamed back over gRPC."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("candelabra")
