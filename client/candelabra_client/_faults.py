"""Which errors of a call may not come back when it is made again, told apart by who has said them.

1. UNAVAILABLE, whoever says it: the server refuses, is not there, or the connection broke.
2. RESOURCE_EXHAUSTED with a `google.rpc.RetryInfo`: the server has too much to do and says when to come back.
   Without one, the request itself may be too large, and so may the answer: both would be so again.
3. A stream that ended without a status of the server: gRPC's core then makes one of its own, which need not be
   UNAVAILABLE. It has no trailing metadata, which a server's status mostly has (ours always has details), and its
   text is one of `_BROKEN`. Texts were taken from grpc 1.75 and 1.85, by cutting streams at every byte and by an
   HTTP/2 server that ends them in every way; tests/client/test_broken_streams.py has them all.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import grpc

from candelabra_client._exceptions import CallError

__all__ = ["is_passing"]

_RESET: Final = r"(?:Stream removed \(RST_STREAM \()?Received RST_STREAM with error code (?:{})\b"
_BROKEN: Final[Mapping[grpc.StatusCode, re.Pattern[str]]] = MappingProxyType(
    {
        # NO_ERROR, INTERNAL_ERROR, STREAM_CLOSED, CONNECT_ERROR: what proxies say whose own upstream broke. The other
        # codes of RFC 9113 blame the request or the protocol, and would come again; REFUSED_STREAM is UNAVAILABLE.
        grpc.StatusCode.INTERNAL: re.compile(_RESET.format("0|2|5|10")),
        # CANCEL from the other side; what this side has cancelled is worded otherwise.
        grpc.StatusCode.CANCELLED: re.compile(_RESET.format("8")),
        # The stream was closed without trailers.
        grpc.StatusCode.UNKNOWN: re.compile("Stream removed"),
    }
)


def is_passing(error: grpc.RpcError, failure: CallError) -> bool:
    """Whether the same request may succeed later.

    Args:
        error: what grpc raised.
        failure: the same as the client's own exception.
    """
    if failure.code is grpc.StatusCode.UNAVAILABLE:
        return True
    if failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return failure.retry_after is not None
    call: Any = error  # grpc's errors are calls at the same time, which its types do not say
    broken = _BROKEN.get(failure.code)
    return broken is not None and not call.trailing_metadata() and broken.match(failure.message) is not None
