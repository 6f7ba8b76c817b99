"""The compose file among the examples serves what the documents tell their readers to use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FILE = ROOT / "examples" / "compose.yaml"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(FILE.read_text())
    return loaded


def exported(document: Path, name: str) -> list[str]:
    """The URLs that a document tells its readers to export."""
    return re.findall(rf"export {name}='(.+)'", document.read_text())


def published(service: dict[str, Any]) -> set[int]:
    return {int(port.split(":")[1]) for port in service["ports"]}


def test_the_servers_are_of_the_versions_that_the_guarantees_were_measured_with(compose: dict[str, Any]) -> None:
    guarantees = (ROOT / "docs" / "guarantees.md").read_text()
    measured = re.search(r"Measured with RabbitMQ (?P<rabbitmq>[\d.]+\d) and MongoDB (?P<mongodb>[\d.]+\d)", guarantees)
    assert measured is not None
    assert compose["services"]["rabbitmq"]["image"] == f"rabbitmq:{measured['rabbitmq']}-management"
    assert compose["services"]["mongodb"]["image"] == f"mongo:{measured['mongodb']}"


@pytest.mark.parametrize("document", [ROOT / "README.md", FILE], ids=lambda document: document.name)
def test_the_urls_that_readers_are_told_lead_to_its_servers(compose: dict[str, Any], document: Path) -> None:
    services = compose["services"]
    (store,) = map(urlsplit, exported(document, "SAGAFLOW_STORE"))
    (broker,) = map(urlsplit, exported(document, "SAGAFLOW_BROKER"))
    assert (store.hostname, broker.hostname) == ("localhost", "localhost")
    assert store.port in published(services["mongodb"])
    assert broker.port in published(services["rabbitmq"])
    (replica_set,) = parse_qs(store.query)["replicaSet"]
    command = services["mongodb"]["command"]
    assert command[command.index("--replSet") + 1] == replica_set
    assert f'_id: "{replica_set}"' in services["mongodb"]["healthcheck"]["test"][-1]
    assert (broker.username, broker.password) == ("guest", "guest")  # as the image makes them
    assert "environment" not in services["rabbitmq"]


def test_nothing_is_open_to_other_machines(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        assert service["ports"]
        assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in service["ports"])


def test_the_replica_set_is_made_once_under_the_name_that_clients_use(compose: dict[str, Any]) -> None:
    *program, script = compose["services"]["mongodb"]["healthcheck"]["test"]
    assert program == ["CMD", "mongosh", "--quiet", "--eval"]
    assert script.index("rs.status()") < script.index("NotYetInitialized") < script.index("rs.initiate(")
    assert 'host: "localhost:27017"' in script
    assert "isWritablePrimary" in script


def test_each_server_says_when_it_serves_and_keeps_its_data(compose: dict[str, Any]) -> None:
    used: set[str] = set()
    for name, service in compose["services"].items():
        assert {"test", "interval", "timeout", "retries", "start_period"} == service["healthcheck"].keys(), name
        used |= {volume.partition(":")[0] for volume in service["volumes"]}
    assert used == compose["volumes"].keys()
    assert compose["services"]["rabbitmq"]["hostname"], "its data stand under the name of its host"
