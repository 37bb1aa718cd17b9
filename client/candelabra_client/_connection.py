"""Options of the channel to the server, the same for both clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

__all__ = ["DEFAULT_ADDRESS", "DEFAULT_MAX_RECEIVE_BYTES", "ChannelOptions", "Metadata", "channel_options"]

ChannelOptions: TypeAlias = Sequence[tuple[str, int | str]]
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]

DEFAULT_ADDRESS: Final = "127.0.0.1:50051"

DEFAULT_MAX_RECEIVE_BYTES: Final = 65 * 1024 * 1024
"""Above the largest message that a job may ask for (64 MiB); gRPC's own default of 4 MiB is below it."""


def channel_options(*, max_receive_bytes: int, extra: ChannelOptions = ()) -> ChannelOptions:
    """Returns the options; those of `extra` win over the others, of which gRPC would take the first of a name.

    - Keepalive finds a dead peer in 50 s instead of never. Pings stop when no call is active, and stay well
      above the 10 s that Candelabra's server allows.
    - gRPC itself repeats nothing: `_attempts.py` does. gRPC gives up on a stream as soon as its headers have come, and
      a call that it repeats while its connection breaks may hang (half of them with a wait of 1 ms in grpc 1.85.1).
    - Reconnecting waits 5 s at most, since gRPC's own two minutes would outlast every retry.
    """
    own: ChannelOptions = [
        ("grpc.max_receive_message_length", max_receive_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 5_000),
        ("grpc.enable_retries", 0),
        ("grpc.primary_user_agent", "candelabra-python"),
    ]
    return list({**dict(own), **dict(extra)}.items())
