"""Everything a worker needs, imported once in the forkserver, so that workers start in milliseconds.

What is imported here must start no thread and must not import grpc; a test counts both.
"""

from candelabra_server.candles import arrow_store
from candelabra_server.candles.factory import create_candle_repository
from candelabra_server.formulas.compiled.loading import load_machine
from candelabra_server.formulas.factory import create_formula_service
from candelabra_server.processing import worker_functions

__all__ = ["arrow_store", "create_candle_repository", "worker_functions"]

# Builds the parser's tables and imports the indicator library, both of which every worker then shares.
create_formula_service({"type": "builtin"}).compile("sma(close, 2)", parameters={})
# numba and the compiled kernels, where they are in the cache; workers do without where they are not.
load_machine()
