"""Options of the channel to the server, the same for both clients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, TypeAlias

from candelabra_client._retry import RetryPolicy

__all__ = ["DEFAULT_ADDRESS", "DEFAULT_MAX_RECEIVE_BYTES", "ChannelOptions", "Metadata", "channel_options"]

ChannelOptions: TypeAlias = Sequence[tuple[str, int | str]]
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"

DEFAULT_MAX_RECEIVE_BYTES: Final = 65 * 1024 * 1024
"""Above the largest message that a job may ask for (64 MiB); gRPC's own default of 4 MiB is below it."""


def channel_options(*, retry: RetryPolicy, max_receive_bytes: int, extra: ChannelOptions = ()) -> ChannelOptions:
    """Returns the options; those of `extra` come last and so win over the others.

    - Keepalive finds a dead peer in 50 s instead of never. Pings stop when no call is active, and stay well
      above the 10 s that Candelabra's server allows.
    - Reconnecting waits 5 s at most, since gRPC's own two minutes would outlast every retry.
    """
    return [
        ("grpc.max_receive_message_length", max_receive_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.service_config", json.dumps(retry.service_config())),
        ("grpc.primary_user_agent", "candelabra-python"),
        *extra,
    ]
