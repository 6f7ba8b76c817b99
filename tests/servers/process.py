"""A server's process and directory: started, stopped, killed, frozen, and never left behind."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.ports import free_port

# Waits for a line from us, or for the end of its input, which comes when we die, however we die; then ends
# the server and removes its directory. (The kernel's own "signal at the death of the parent" is bound to the
# thread that forked, and an executor's thread ends long before its process.)
_GUARD = """
read -r _
[ -f "$1/pid" ] && kill -KILL "$(cat "$1/pid")"
for _ in 1 2 3 4 5; do rm -rf "$1" && break; sleep 0.2; done
"""


class ServerFailed(RuntimeError):
    """A server did not start, or did not stop; the end of its log follows."""


class Server(ABC):
    """One server process that keeps its port and its directory over restarts, until it is closed.

    As a context manager it is started on entry and closed on exit.
    """

    start_timeout = 110.0  # less than a test may take, so that the end of the log is seen; RabbitMQ needs ten
    stop_timeout = 30.0

    def __init__(self, name: str) -> None:
        self.name = name
        self.port = free_port()
        self._directory: Path | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Return the command that becomes the server, by ``exec``, so that its pid is the server's."""

    @abstractmethod
    def _environment(self) -> Mapping[str, str]:
        """Return the whole environment of the server."""

    @abstractmethod
    def _answers(self) -> bool:
        """Tell whether a client would be served now."""

    @property
    def directory(self) -> Path:
        """The server's temporary directory; it exists from the first start until the server is closed."""
        if self._directory is None:
            raise ServerFailed(f"{self.name} was not started")
        return self._directory

    @property
    def pid(self) -> int:
        """The pid of the running server."""
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the process lives, be it frozen."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return when it serves clients."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the process without waiting for it."""
        if self.is_running:
            raise ServerFailed(f"{self.name} runs already")
        self._ensure_directory()
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                env=self._environment(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C at the terminal is for the tests, not for the server
            )
        self._pid_file.write_text(str(self._process.pid))

    def wait_until_ready(self) -> None:
        """Return when the server serves clients."""
        process = self._running()
        end = time.monotonic() + self.start_timeout
        while not self._answers():
            if process.poll() is not None:
                raise ServerFailed(f"{self.name} ended with code {process.returncode} at its start\n{self._log_end()}")
            if time.monotonic() > end:
                raise ServerFailed(f"{self.name} did not answer in {self.start_timeout:.0f} s\n{self._log_end()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the server in good order, as an administrator would."""
        process = self._running()
        self.resume()  # a frozen process would not see the signal
        process.terminate()
        try:
            process.wait(self.stop_timeout)
        except subprocess.TimeoutExpired as error:
            raise ServerFailed(f"{self.name} did not stop\n{self._log_end()}") from error
        self._forget()

    def kill(self) -> None:
        """End the server by SIGKILL, as a crash would; nothing happens if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def restart(self) -> None:
        """Stop the server in good order and start it again, on the same port with the same data."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freeze the server by SIGSTOP: connections stay open and nothing answers."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen server go on."""
        self._running().send_signal(signal.SIGCONT)

    def heal(self) -> None:
        """Make the server serve again, whatever a test has done to it."""
        if self.is_running:
            self.resume()
        else:
            self.launch()
        self.wait_until_ready()

    def close(self) -> None:
        """Kill the server and remove its directory; it can be started anew, empty."""
        self.kill()
        if self._guard is not None:
            self._guard.communicate(b"\n")
            self._guard = None
            self._directory = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _pid_file(self) -> Path:
        return self.directory / "pid"

    def _ensure_directory(self) -> None:
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix=f"sagaflow-{self.name}-"))
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", _GUARD, "guard", str(self._directory)],
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ServerFailed(f"{self.name} does not run")
        return self._process

    def _forget(self) -> None:
        # Once the process is reaped its pid may become another's, so the guard must not know it any more.
        self._pid_file.unlink(missing_ok=True)
        self._process = None

    def _log_end(self) -> str:
        lines = (self.directory / "log").read_text(errors="replace").splitlines()
        return "\n".join(lines[-30:])


def find_program(*candidates: str | Path | None) -> str | None:
    """Return the first candidate that is an executable file, or a program's name found on the PATH."""
    for candidate in candidates:
        if candidate is not None and (found := shutil.which(candidate)):
            return os.path.realpath(found)
    return None
