"""The whole status of a failed call of grpc.aio, whose error is not what grpc_status reads."""

from types import SimpleNamespace

from grpc_status import rpc_status


def status_of(error):
    """The google.rpc.Status that came in the trailers."""
    call = SimpleNamespace(code=error.code, details=error.details, trailing_metadata=error.trailing_metadata)
    return rpc_status.from_call(call)
