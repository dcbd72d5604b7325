"""Messages between processes. Large arrays are sent separately, in parts, so that they are not copied as a whole."""

from __future__ import annotations

import pickle
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

LARGE = 64 << 10  # arrays of at least this many bytes are sent separately
PART = 1 << 20


def send(connection: Connection, message: object) -> None:
    """Send a message to `receive` at the other end; raises OSError or ValueError when that is gone."""
    beside: list[memoryview] = []

    def keep(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LARGE:
            return True  # stays among the rest
        beside.append(raw)
        return False

    connection.send((pickle.dumps(message, 5, buffer_callback=keep), [raw.nbytes for raw in beside]))
    for raw in beside:
        for start in range(0, raw.nbytes, PART):
            connection.send_bytes(raw[start : start + PART])


def receive(connection: Connection) -> Any:
    """The next message; raises EOFError or OSError when the other end is gone."""
    data, sizes = connection.recv()
    beside = []
    for size in sizes:
        room, filled = np.empty(size, np.uint8), 0
        while filled < size:
            filled += connection.recv_bytes_into(room.data, filled)
        beside.append(room)
    return pickle.loads(data, buffers=beside)
