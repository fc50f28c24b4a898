"""A port that another program has."""

import os
import socket

import pytest

from streams.local.errors import PartFailed
from streams.local.listeners import free_ports, require_free, taken
from streams.local.parts import Part


def test_a_taken_port_is_named_with_its_owner_and_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(PartFailed) as failure:
            require_free(Part(name="kafka", port=port, port_setting="local.kafka_port"))
    message = str(failure.value)
    assert message.startswith(f"kafka: port {port} is taken by ")
    assert f"(pid {os.getpid()})" in message
    assert "HEADWATER_LOCAL__KAFKA_PORT=PORT" in message


def test_a_port_is_free_again_although_its_last_connection_lingers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as client:
            accepted, _ = listener.accept()
            accepted.close()  # the server's side ends first: it is the one that lingers
            client.recv(1)
    assert not taken(address[1])


def test_free_ports_differ() -> None:
    ports = free_ports(8)
    assert len(set(ports)) == 8
    assert not any(taken(port) for port in ports)
