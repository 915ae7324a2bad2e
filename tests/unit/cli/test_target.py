from __future__ import annotations

import socket

from quorate.cli.target import answers_at


def test_a_server_is_noticed_by_what_listens_at_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
        assert answers_at(address)
    assert not answers_at(address)
