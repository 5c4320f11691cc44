"""Ports for servers that are started later, or never: each process of the suite has a range of its own."""

import os
import random
import socket
from itertools import count

BUS = 10_000  # a server's cluster port is its own plus this, before Redis 7 without exception
PROCESSES = 6  # of the suite
SHARE = 2_000  # ports of one process
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
_FIRST = 20_000 + SHARE * _WORKER  # below the ports that the system hands out
_numbers = count(random.randrange(SHARE))


def free_port() -> int:
    """Return a port that nothing listens on, nor on its cluster port; the next call returns another."""
    while True:
        port = _FIRST + next(_numbers) % SHARE
        with socket.socket() as first, socket.socket() as second:
            try:
                first.bind(("127.0.0.1", port))
                second.bind(("127.0.0.1", port + BUS))
            except OSError:
                continue
        return port
