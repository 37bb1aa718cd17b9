"""The standard health protocol `grpc.health.v1`, encoded by hand.

It is two messages of one field each; the grpcio-health-checking package, which has them generated, would be one
more dependency of every client, and two packages that register its messages in one process clash.
"""

from __future__ import annotations

from enum import StrEnum

from google.protobuf import message, wrappers_pb2

from candelabra_client._exceptions import ProtocolError

__all__ = ["HealthStatus", "decode_health_response", "encode_health_request"]


class HealthStatus(StrEnum):
    """Whether a service takes requests."""

    UNKNOWN = "UNKNOWN"
    SERVING = "SERVING"
    NOT_SERVING = "NOT_SERVING"
    SERVICE_UNKNOWN = "SERVICE_UNKNOWN"


_BY_NUMBER = {
    0: HealthStatus.UNKNOWN,
    1: HealthStatus.SERVING,
    2: HealthStatus.NOT_SERVING,
    3: HealthStatus.SERVICE_UNKNOWN,
}


def encode_health_request(service: str) -> bytes:
    """Returns a `HealthCheckRequest`: its field 1 is a string, which is also what a StringValue is."""
    return wrappers_pb2.StringValue(value=service).SerializeToString()


def decode_health_response(data: bytes) -> HealthStatus:
    """Reads a `HealthCheckResponse`: its field 1 is an enum, on the wire the same as an Int32Value.

    Raises:
        ProtocolError: something else came back.
    """
    try:
        number = wrappers_pb2.Int32Value.FromString(data).value
    except message.DecodeError as error:
        raise ProtocolError("the answer to a health check cannot be read") from error
    return _BY_NUMBER.get(number, HealthStatus.UNKNOWN)
