"""A private RabbitMQ node."""

import os
import secrets
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pamqp import base, commands, frame

from tests.servers.ports import LOOPBACK, free_port
from tests.servers.process import Server, ServerFailed

# Debian's wrapper in /usr/sbin changes to the user of the system's own node; the real scripts stand here.
_SCRIPTS = Path("/usr/lib/rabbitmq/bin")

_CONFIGURATION = """\
listeners.tcp.1 = {address}:{port}
loopback_users = none
disk_free_limit.absolute = 50MB
"""


class RabbitMQNode(Server):
    """A RabbitMQ node of our own, with the default user and virtual host.

    Nodes that are given one ``cookie`` can be joined to a cluster through ``ctl``. ``configuration`` is added to the
    node's own.
    """

    def __init__(self, *, cookie: str | None = None, configuration: str = "") -> None:
        super().__init__("rabbitmq")
        self.node_name = f"sagaflow-{self.port}@localhost"
        self.url = f"amqp://guest:guest@{LOOPBACK}:{self.port}/"
        self._cookie = cookie or secrets.token_hex(16)
        self._configuration = _CONFIGURATION.format(address=LOOPBACK, port=self.port) + configuration
        self._distribution_port = free_port()

    @staticmethod
    def missing() -> str | None:
        """Return in one line why no node can be started here, or None."""
        if (_SCRIPTS / "rabbitmq-server").exists():
            return None
        return f"RabbitMQ is not installed: there is no {_SCRIPTS}/rabbitmq-server"

    def launch(self) -> None:
        if reason := self.missing():
            raise ServerFailed(reason)
        _start_epmd()
        self._ensure_directory()
        self._file("rabbitmq.conf").write_text(self._configuration)
        self._file("enabled_plugins").write_text("[].\n")
        super().launch()

    def ctl(self, *arguments: str) -> str:
        """Run ``rabbitmqctl`` on this node (one to two seconds) and return what it prints."""
        options = ["--quiet", "--erlang-cookie", self._cookie, "-n", self.node_name]
        done = subprocess.run(
            [str(_SCRIPTS / "rabbitmqctl"), *options, *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            check=False,  # the error below says more
        )
        if done.returncode != 0:
            raise ServerFailed(f"rabbitmqctl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def _command(self) -> Sequence[str]:
        return [str(_SCRIPTS / "rabbitmq-server")]

    def _environment(self) -> Mapping[str, str]:
        erlang = f"-setcookie {self._cookie} -kernel inet_dist_use_interface {{127,0,0,1}} +S 2:2 +sbwt none"
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.directory),
            # The script then becomes the Erlang machine instead of starting it and standing beside it.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": self.node_name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self._file("mnesia")),
            "RABBITMQ_LOG_BASE": str(self._file("logs")),
            "RABBITMQ_PID_FILE": str(self._file("rabbitmq.pid")),
            "RABBITMQ_CONFIG_FILE": str(self._file("rabbitmq.conf")),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._file("enabled_plugins")),
            "RABBITMQ_CONF_ENV_FILE": str(self._file("rabbitmq-env.conf")),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": erlang,
        }

    def _answers(self) -> bool:
        try:
            _open_connection(self.port)
        except OSError:
            return False
        return True

    def _file(self, name: str) -> Path:
        return self.directory / name


def _start_epmd() -> None:
    """Start Erlang's port mapper, unless it runs: one for the whole machine, which outlives us.

    A node would start it too, but as its own child, that would hold the node's directory and log for ever.
    """
    subprocess.run(
        ["epmd", "-daemon"],
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath), "ERL_EPMD_ADDRESS": LOOPBACK},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )


def _open_connection(port: int) -> None:
    """Log in and open the virtual host, for a port that listens is not yet a broker that serves."""
    with socket.create_connection((LOOPBACK, port), timeout=5.0) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        _receive(connection, commands.Connection.Start)
        _send(connection, commands.Connection.StartOk(mechanism="PLAIN", response="\0guest\0guest"))
        _receive(connection, commands.Connection.Tune)
        _send(connection, commands.Connection.TuneOk(channel_max=1, frame_max=131_072, heartbeat=0))
        _send(connection, commands.Connection.Open(virtual_host="/"))
        _receive(connection, commands.Connection.OpenOk)


def _send(connection: socket.socket, method: base.Frame) -> None:
    connection.sendall(frame.marshal(method, 0))


def _receive(connection: socket.socket, expected: type[base.Frame]) -> None:
    header = _read(connection, 7)
    body = _read(connection, int.from_bytes(header[3:7]) + 1)
    _, _, received = frame.unmarshal(header + body)
    if not isinstance(received, expected):
        raise ConnectionError(f"the broker sent {received} instead of {expected.__name__}")


def _read(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ConnectionError("the broker closed the connection")
        data += chunk
    return data
