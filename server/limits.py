"""How much of anything a client may send, and how long it may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """What is more is refused; what is slower loses its connection."""

    head_bytes: int = 16 << 10  # of the request line and the headers
    body_bytes: int = 8 << 20
    bodies_bytes: int = 64 << 20  # of all requests whose bodies are being read
    json_depth: int = 100
    json_values: int = 400_000  # in a body; a Python object takes much more than its text
    connections: int = 256  # that have not sent a whole request; the oldest of more is closed
    sockets: int = 512  # connections of any kind; more are refused where none can be closed
    sockets_of_one: int = 128  # of them from one other machine
    head_s: float = 10.0
    body_s: float = 30.0
    write_s: float = 30.0  # that a client may leave what it was sent unread
    idle_s: float = 30.0  # between two requests on a connection
    probe_s: float = 1.0  # how often one who sends no more is asked whether it still listens
    stop_s: float = 1.0  # for connections to end when the server does
