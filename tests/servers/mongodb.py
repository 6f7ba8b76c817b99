"""A private MongoDB replica set of one or more members."""

import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit, urlunsplit

from pymongo import MongoClient, WriteConcern
from pymongo.errors import PyMongoError

from tests.servers.ports import LOOPBACK, accepts_connections
from tests.servers.process import Server, ServerFailed, find_program

_REPLICA_SET = "sagaflow"
_PRIMARY, _SECONDARY = 1, 2  # member states as replSetGetStatus numbers them


def with_database(url: str, name: str) -> str:
    """Return the MongoDB URL with another default database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


class MongoMember(Server):
    """One ``mongod`` of a replica set; ``arguments`` come after its own, and ``options`` are its clients'."""

    def __init__(self, arguments: Sequence[str] = (), options: Mapping[str, Any] | None = None) -> None:
        super().__init__("mongod")
        self._arguments = tuple(arguments)
        self._options = dict(options or {})
        self.address = f"{LOOPBACK}:{self.port}"

    @staticmethod
    def missing() -> str | None:
        """Return in one line why no server can be started here, or None."""
        if _find_mongod():
            return None
        return "mongod is not installed: neither in the wheel among the dev dependencies nor on the PATH"

    def launch(self) -> None:
        self._ensure_directory()
        self._data.mkdir(exist_ok=True)
        super().launch()

    def client(self) -> "MongoClient[dict[str, Any]]":
        """Return a client of this member alone, whatever its role."""
        return MongoClient(self.address, directConnection=True, serverSelectionTimeoutMS=2_000, **self._options)

    def _command(self) -> Sequence[str]:
        program = _find_mongod()
        if program is None:
            raise ServerFailed(str(self.missing()))
        parameters = [
            "diagnosticDataCollectionEnabled=false",
            "ttlMonitorSleepSecs=1",  # documents expire within a second, not within a minute
            "shutdownTimeoutMillisForSignaledShutdown=100",  # no grace for clients
        ]
        return [
            program,
            *("--dbpath", str(self._data)),
            *("--port", str(self.port)),
            *("--bind_ip", LOOPBACK),
            *("--replSet", _REPLICA_SET),
            *("--wiredTigerCacheSizeGB", "0.25"),
            "--nounixsocket",
            *(word for parameter in parameters for word in ("--setParameter", parameter)),
            *self._arguments,
        ]

    def _environment(self) -> Mapping[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "HOME": str(self.directory)}

    def _answers(self) -> bool:
        # The look at the port comes first because the driver pauses half a second after a refused connection.
        if not accepts_connections(self.port):
            return False
        try:
            with self.client() as client:
                client.admin.command("ping")
        except PyMongoError:
            return False
        return True

    @property
    def _data(self) -> Path:
        return self.directory / "data"


class MongoReplicaSet:
    """A replica set of our own, started and initiated on entry, closed on exit.

    A lost primary is missed after ``election_timeout`` seconds. The ``members`` can be killed, frozen and
    started again. ``arguments`` are added to each one's command, and ``options`` to those of the clients made here.
    """

    timeout = 60.0

    def __init__(
        self,
        members: int = 1,
        *,
        election_timeout: float = 1.0,
        arguments: Sequence[str] = (),
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.members = tuple(MongoMember(arguments, options) for _ in range(members))
        self._options = dict(options or {})
        addresses = ",".join(member.address for member in self.members)
        self.url = f"mongodb://{addresses}/?replicaSet={_REPLICA_SET}"
        self._election_timeout = election_timeout

    @staticmethod
    def missing() -> str | None:
        """Return in one line why no replica set can be started here, or None."""
        return MongoMember.missing()

    def database_url(self, name: str) -> str:
        """Return the URL with a default database."""
        return with_database(self.url, name)

    def start(self) -> None:
        """Start all members, initiate the set, and return when all take part and writes are durable."""
        for member in self.members:
            member.launch()
        for member in self.members:
            member.wait_until_ready()
        self._initiate()
        self.wait_until_writable()
        self._wait_until_complete()

    def wait_until_writable(self) -> None:
        """Return when a primary has acknowledged a write by the majority of the members."""
        with self._client() as client:
            durable = client.get_database("sagaflow_ready", write_concern=WriteConcern(w="majority"))
            durable["writes"].insert_one({})

    def primary(self) -> MongoMember:
        """Return the member that is the primary, waiting for an election that is under way."""
        with self._client() as client:
            address = client.admin.command("hello")["me"]
        return next(member for member in self.members if member.address == address)

    def heal(self) -> None:
        """Make every member serve again, whatever a test has done to them."""
        for member in self.members:
            member.heal()
        self.wait_until_writable()

    def close(self) -> None:
        """Kill all members and remove their directories."""
        for member in self.members:
            member.close()

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

    def _client(self) -> "MongoClient[dict[str, Any]]":
        return MongoClient(self.url, serverSelectionTimeoutMS=int(self.timeout * 1000), **self._options)

    def _initiate(self) -> None:
        configuration = {
            "_id": _REPLICA_SET,
            "members": [{"_id": number, "host": member.address} for number, member in enumerate(self.members)],
            "settings": {
                "electionTimeoutMillis": int(self._election_timeout * 1000),
                "heartbeatIntervalMillis": 200,  # the members find each other, and a lost one, sooner
            },
        }
        with self.members[0].client() as client:
            client.admin.command("replSetInitiate", configuration)

    def _wait_until_complete(self) -> None:
        """Wait for the secondaries' first synchronisation, before which they cannot take over."""
        end = time.monotonic() + self.timeout
        with self._client() as client:
            while not all(
                member["state"] in (_PRIMARY, _SECONDARY)
                for member in client.admin.command("replSetGetStatus")["members"]
            ):
                if time.monotonic() > end:
                    raise ServerFailed("the replica set is not complete")
                time.sleep(0.05)


def _find_mongod() -> str | None:
    """Find the program in the wheel, whose version the tests were written for, or on the PATH."""
    specification = importlib.util.find_spec("fiftyone")
    places = specification.submodule_search_locations if specification else None
    carried = [Path(place, "db", "bin", "mongod") for place in places or ()]
    for program in carried:
        if program.exists() and not os.access(program, os.X_OK):
            program.chmod(0o755)  # not every installer keeps the run bit
    return find_program(*carried, "mongod")
