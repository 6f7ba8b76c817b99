"""The package's face: what it exports, what it imports, and that each name says what it is for."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import sagaflow
from tests.docs.documents import ROOT, environment

MODULES = sorted(
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for file in (ROOT / "sagaflow").rglob("*.py")
)
DRIVERS = {"aio_pika", "aiormq", "bson", "motor", "pymongo", "sqlite3"}


def test_all_is_exactly_what_the_package_offers_and_is_sorted() -> None:
    public = {
        name for name, value in vars(sagaflow).items() if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert set(sagaflow.__all__) == public
    assert sagaflow.__all__ == sorted(sagaflow.__all__)


def test_the_package_is_imported_without_any_driver() -> None:
    code = f"import sagaflow, sys; print(sorted({DRIVERS!r} & set(sys.modules)))"
    # A coverage that measures the new process too would import one by itself.
    env = {name: value for name, value in environment().items() if not name.startswith("COVERAGE_")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_an_embedded_engine_is_made_without_the_drivers_of_servers() -> None:
    code = (
        "import sagaflow, sys\n"
        "class One(sagaflow.Saga[str]):\n"
        "    @sagaflow.step\n"
        "    async def one(self, context: str) -> None: ...\n"
        "sagaflow.Engine(sagas=[One])\n"
        f"print(sorted({DRIVERS!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert done.stdout == "['sqlite3']\n"


@pytest.mark.parametrize("name", sagaflow.__all__)
def test_every_public_name_says_what_it_is_for(name: str) -> None:
    value = getattr(sagaflow, name)
    assert inspect.cleandoc(value.__doc__ or "")
    assert not (value.__doc__ or "").startswith(f"{name}("), "a dataclass without a docstring of its own"
    if inspect.isclass(value):
        undocumented = [
            f"{name}.{member}"
            for member, what in vars(value).items()
            if not member.startswith("_")
            and (inspect.isfunction(what) or isinstance(what, property))
            and not what.__doc__
        ]
        assert undocumented == []


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert import_module(name).__doc__


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_so(name: str) -> None:
    failed, _ = doctest.testmod(import_module(name), optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert failed == 0
