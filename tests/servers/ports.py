"""Free TCP ports for servers that are started, killed and started again."""

import random
import socket

LOOPBACK = "127.0.0.1"

# Below the range from which Linux picks the local port of outgoing connections. Inside it, a client that
# keeps trying to reach a dead server on this machine can be given the server's own port, and reach itself.
_CANDIDATES = range(15_000, 32_000)

# The test runner seeds the global generator, so two sessions would draw the same ports.
_random = random.SystemRandom()
_given: set[int] = set()


def free_port() -> int:
    """Return a port on which nothing listens, a different one at each call of this process."""
    for port in _random.sample(_CANDIDATES, k=200):
        if port not in _given and _is_free(port):
            _given.add(port)
            return port
    raise RuntimeError(f"no free port between {_CANDIDATES.start} and {_CANDIDATES.stop}")


def accepts_connections(port: int) -> bool:
    """Tell whether something listens on the port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
