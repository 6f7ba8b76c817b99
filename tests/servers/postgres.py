"""A private PostgreSQL server."""

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.ports import LOOPBACK
from tests.servers.process import Server, ServerFailed, find_program

# The server refuses to run as root; Debian's package makes this user for its own.
_USER = "postgres"


class PostgresServer(Server):
    """A PostgreSQL of our own, with one superuser, who has a password.

    Its settings are the server's defaults, durability included. ``settings`` are added to them, by their names.
    """

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        super().__init__("postgres")
        self._settings = dict(settings or {})
        self._password = secrets.token_hex(16)
        self.url = f"postgresql://sagaflow:{self._password}@{LOOPBACK}:{self.port}/postgres"

    @staticmethod
    def missing() -> str | None:
        """Return in one line why no server can be started here, or None."""
        if _find_programs() is None:
            return "PostgreSQL is not installed: neither below /usr/lib/postgresql nor on the PATH"
        if os.geteuid() == 0 and not find_program("setpriv"):
            return "PostgreSQL does not run as root, and there is no setpriv to become another user"
        return None

    def launch(self) -> None:
        if reason := self.missing():
            raise ServerFailed(reason)
        self._ensure_directory()
        if not self._data.exists():
            self._initialise()
        super().launch()

    def kill(self) -> None:
        # Its children see that it is gone, but not at once, and until then they keep it from being started again.
        children = self._children()
        super().kill()
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        end = time.monotonic() + self.stop_timeout
        while any(Path(f"/proc/{child}").exists() for child in children):
            if time.monotonic() > end:
                raise ServerFailed(f"{self.name} left processes behind: {children}")
            time.sleep(0.01)

    def close(self) -> None:
        """End the server at once, but so that it gives back its shared memory, and remove its directory."""
        if self.is_running:
            self.resume()
            process = self._running()
            process.send_signal(signal.SIGQUIT)
            process.wait(self.stop_timeout)
        super().close()

    def pause(self) -> None:
        """Freeze the server and the processes that serve its clients."""
        super().pause()
        self._signal_children(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal_children(signal.SIGCONT)
        super().resume()

    def _command(self) -> Sequence[str]:
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            **self._settings,
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return [*_as_user(), str(_programs() / "postgres"), "-D", str(self._data), *options]

    def _environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": str(self.directory)}

    def _answers(self) -> bool:
        # It tells a server that still starts, or recovers from a crash, from one that serves.
        asked = [str(_programs() / "pg_isready"), "--quiet", "--host", LOOPBACK, "--port", str(self.port)]
        return subprocess.run(asked, check=False).returncode == 0

    def _initialise(self) -> None:
        """Make an empty database cluster, whose owner is the user that the server runs as."""
        if os.geteuid() == 0:
            shutil.chown(self.directory, _USER)
        password = self.directory / "password"
        password.write_text(self._password)
        if os.geteuid() == 0:
            shutil.chown(password, _USER)
        done = subprocess.run(
            [
                *_as_user(),
                str(_programs() / "initdb"),
                *("--pgdata", str(self._data)),
                *("--username", "sagaflow", "--pwfile", str(password), "--auth", "scram-sha-256"),
                *("--encoding", "UTF8", "--locale", "C.UTF-8"),
                "--no-sync",  # what is made here is of no use after a loss of power
            ],
            env=self._environment(),
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,  # the error below says more
        )
        password.unlink()
        if done.returncode != 0:
            raise ServerFailed(f"initdb: {done.stdout}{done.stderr}")

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _children(self) -> list[int]:
        if not self.is_running:
            return []
        # It has one thread, and its children none of their own.
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]

    def _signal_children(self, number: signal.Signals) -> None:
        for child in self._children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, number)


def _as_user() -> Sequence[str]:
    if os.geteuid() != 0:
        return []
    # It becomes the server by exec, so that the pid is the server's.
    return ["setpriv", "--reuid", _USER, "--regid", _USER, "--clear-groups"]


def _programs() -> Path:
    programs = _find_programs()
    if programs is None:
        raise ServerFailed(str(PostgresServer.missing()))
    return programs


def _find_programs() -> Path | None:
    """Find the directory with the server and its tools: the newest that Debian has installed, or one on the PATH."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda place: float(place.parent.name))
    found = find_program(*(place / "postgres" for place in reversed(versions)), "postgres")
    return Path(found).parent if found else None
