"""What gRPC's transport is told to allow, before a call reaches anybody here."""

from __future__ import annotations

from quorate.access.limits import MAX_METADATA_BYTES
from quorate.api.grpc.settings import ServerSettings

_HANDSHAKE_SECONDS = 10.0

# What a stream may send before its message is asked for. By default gRPC allows 4 MiB of it, and
# more where it finds the connection fast, which for a thousand streams is all memory there is. A
# message that is asked for gets a window of its own size.
_WINDOW_BYTES = 16 * 1024


def server_options(settings: ServerSettings) -> list[tuple[str, int]]:
    """Arguments of a gRPC server."""
    return [
        # By default two servers share a port silently, and requests land on either.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.max_concurrent_streams", settings.max_streams),
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", 2 * MAX_METADATA_BYTES),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_connection_idle_ms", _ms(settings.idle_seconds)),
        # Who connects and says nothing, or never agrees on settings, is closed soon.
        ("grpc.server_handshake_timeout_ms", _ms(_HANDSHAKE_SECONDS)),
        ("grpc.http2.settings_timeout", _ms(_HANDSHAKE_SECONDS)),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.keepalive_time_ms", _ms(settings.keepalive_seconds)),
        ("grpc.keepalive_timeout_ms", _ms(settings.keepalive_timeout_seconds)),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(settings.min_client_ping_seconds)),
        ("grpc.enable_channelz", int(settings.channelz)),
    ]


def _ms(seconds: float) -> int:
    return round(seconds * 1e3)
