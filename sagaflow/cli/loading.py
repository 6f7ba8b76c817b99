"""What a command line names, as ``app.sagas:OrderSaga``: a saga class, a factory of one, or an engine."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from inspect import isabstract, signature
from pathlib import Path
from traceback import extract_tb
from types import ModuleType
from typing import Any, cast, get_type_hints

from ..engine.binding import Factory, class_of
from ..engine.engine import Engine
from ..errors import SagaFlowError, near
from ..saga import Saga, SagaMeta
from .exits import Failure


@dataclass(frozen=True)
class App:
    """What was named.

    Attributes:
        sagas: saga classes, and factories of them.
        actions: libraries for sagas whose steps are data.
        engine: the engine, if one was named.
    """

    sagas: tuple[Factory, ...] = ()
    actions: tuple[Factory, ...] = ()
    engine: Engine | None = None

    def with_(self, other: App) -> App:
        """Both together.

        Raises:
            Failure: there are two engines.
        """
        if self.engine is not None and other.engine is not None and self.engine is not other.engine:
            raise Failure("two engines are named; a command works with one")
        sagas = [*self.sagas, *(one for one in other.sagas if one not in self.sagas)]
        return App(tuple(sagas), (*self.actions, *other.actions), self.engine or other.engine)

    @property
    def classes(self) -> tuple[type[Saga[Any]], ...]:
        """The classes of the sagas."""
        return tuple(class_of(factory) for factory in self.sagas)


def load(targets: Iterable[str]) -> App:
    """All that these name.

    Raises:
        Failure: one of them cannot be found, or is nothing that an engine takes.
    """
    app = App()
    for target in targets:
        app = app.with_(_sorted(target, find(target)))
    return app


def saga_class(target: str) -> type[Saga[Any]]:
    """The class that this names, by itself or by a factory of it.

    Raises:
        Failure: it names none.
    """
    classes = load([target]).classes
    if len(classes) != 1:
        raise Failure(f"{target} is no saga class; write module:OrderSaga")
    return classes[0]


def find(target: str) -> object:
    """The object of this name.

    Raises:
        Failure: there is none, or its module cannot be imported.
    """
    module_name, colon, path = target.partition(":")
    if not module_name or not path:
        hint = f"{target.rpartition('.')[0]}:{target.rpartition('.')[2]}" if "." in target and not colon else None
        raise Failure(f"{target!r} names nothing; write {hint or 'module:Name, as in app.sagas:OrderSaga'}")
    found: object = _module(module_name, target)
    for part in path.split("."):
        if not hasattr(found, part):
            names = [name for name, value in vars(found).items() if _is_named(name, value)]
            raise Failure(f"{module_name} has no {path}. {near(part, names)}".rstrip())
        found = getattr(found, part)
    return found


def needs_arguments(factory: Factory) -> str | None:
    """What a factory cannot be called without, in words; None if it can be called."""
    try:
        missing = [
            one.name
            for one in signature(factory).parameters.values()
            if one.default is one.empty and one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):  # nobody can tell; it will show
        return None
    return ", ".join(missing) or None


def _module(name: str, target: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:  # as with ``python -m``: the script itself stands elsewhere
        sys.path.insert(0, here)
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise Failure(
                f"{target}: there is no module {error.name!r} in {here}, nor among what is installed"
            ) from None
        raise Failure(f"{target}: {_told(error)}") from error
    except SagaFlowError as error:
        raise Failure(f"{target}: {error}") from error
    except Exception as error:  # whatever the user's module does when it is imported
        raise Failure(f"{target}: {_told(error)}") from error


def _told(error: Exception) -> str:
    frames = [frame for frame in extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"it cannot be imported: {type(error).__name__}: {error}{where}; --verbose shows all of it"


def _is_named(name: str, value: object) -> bool:
    return not name.startswith("_") and isinstance(value, SagaMeta | Engine | partial)


def _sorted(target: str, found: object) -> App:
    if isinstance(found, Engine):
        return App(engine=found)
    if isinstance(found, list | tuple):
        app = App()
        for one in cast("list[object]", found):
            app = app.with_(_sorted(target, one))
        return app
    is_other_class = isinstance(found, type) and not issubclass(type(found), SagaMeta)
    if is_other_class or not callable(found):
        what = "no saga class" if is_other_class else f"a {type(found).__name__}"
        raise Failure(f"{target} is {what}; name a saga class, a factory of one, or an engine")
    if not isinstance(found, type | partial) and get_type_hints(found).get("return") is Engine:
        return App(engine=cast("Callable[[], Engine]", found)())
    factory = cast("Factory", found)
    try:
        made = class_of(factory)
    except TypeError as error:
        raise Failure(f"{target}: {error}") from error
    return App(actions=(factory,)) if _is_library(made) else App(sagas=(factory,))


def _is_library(made: type[Saga[Any]]) -> bool:
    try:
        made.definition  # noqa: B018  # an abstract one has none, and says so
    except TypeError:
        return True
    return isabstract(made)
