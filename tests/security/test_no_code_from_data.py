"""What is stored or sent is data: nothing in the package turns it into code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.documents import ROOT

MODULES = sorted((ROOT / "sagaflow").rglob("*.py"))

# Modules that run code which stands in data, or make a program of text.
FORBIDDEN_MODULES = {
    "cloudpickle",
    "code",
    "codeop",
    "dill",
    "jsonpickle",
    "marshal",
    "pickle",
    "runpy",
    "shelve",
    "yaml",
}
FORBIDDEN_CALLS = {"__import__", "compile", "eval", "exec"}

# Who imports by name: a module whose name stands in the source, and one that somebody has written on a command line.
IMPORTS_BY_NAME = {"engine/urls.py", "cli/loading.py"}


def offences(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found = {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module), level=0):
                found = {module.partition(".")[0]}
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield f"line {node.lineno}: {name}()"
                continue
            case _:
                continue
        for module in sorted(found & FORBIDDEN_MODULES):
            yield f"line {node.lineno}: import {module}"


def imports_by_name(tree: ast.AST) -> bool:
    return any(isinstance(node, ast.Name | ast.Attribute) and _name(node) == "import_module" for node in ast.walk(tree))


def _name(node: ast.Name | ast.Attribute) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_unpickles_or_evaluates(path: Path) -> None:
    assert list(offences(ast.parse(path.read_text()))) == []


def test_modules_are_imported_by_name_in_two_places_only() -> None:
    found = {
        str(path.relative_to(ROOT / "sagaflow")) for path in MODULES if imports_by_name(ast.parse(path.read_text()))
    }
    assert found == IMPORTS_BY_NAME


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import os, shelve",
        "x = eval('1')",
        "exec(text)",
        "__import__(name)",
    ],
)
def test_the_search_finds_what_it_is_for(text: str) -> None:
    assert list(offences(ast.parse(text)))
