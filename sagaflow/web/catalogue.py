"""The classes that can be started here, and the description of the API, with their own types in it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from ..core.annotations import show
from ..engine.engine import Engine
from ..saga import Saga
from .bodies import SagaType, Start
from .problems import MEDIA_TYPE, ProblemData

_REF: Final = "#/components/schemas/{name}"


def saga_types(engine: Engine) -> tuple[SagaType, ...]:
    """The classes of an engine, by name."""
    return tuple(_described(engine, name, saga) for name, saga in sorted(engine.sagas.items()))


def _described(engine: Engine, name: str, saga: type[Saga[Any]]) -> SagaType:
    types = engine.types_of(saga)
    schema = _schema_alone(types.context)
    return SagaType(
        name=name,
        doc=inspect.cleandoc(saga.__doc__ or "") if saga.__doc__ is not Saga.__doc__ else "",
        context=schema,
        example=_example(schema, schema.get("$defs", {}), 0),
        signals=tuple(dict.fromkeys(step.signal for step in types.definition if step.signal is not None)),
        steps=tuple(step.name for step in types.definition),
    )


def _schema_alone(kind: Any) -> dict[str, Any]:
    try:
        return msgspec.json.schema(kind)
    except TypeError:
        return {"description": f"{show(kind)}, which no schema describes"}


_DEEPEST: Final = 6


def _example(schema: Mapping[str, Any], known: Mapping[str, Any], depth: int) -> Any:
    """A value to begin with: what is required, empty."""
    if depth > _DEEPEST:
        return None
    if "$ref" in schema:
        return _example(known.get(str(schema["$ref"]).rpartition("/")[2], {}), known, depth + 1)
    for key in ("default", "const"):
        if key in schema:
            return schema[key]
    for key in ("examples", "enum", "anyOf", "oneOf"):
        if schema.get(key):
            first = schema[key][0]
            return first if key in ("examples", "enum") else _example(first, known, depth + 1)
    match schema.get("type"):
        case "object":
            needed = schema.get("required", ())
            fields = cast("Mapping[str, Any]", schema.get("properties", {}))
            return {name: _example(field, known, depth + 1) for name, field in fields.items() if name in needed}
        case "array":
            first = schema.get("prefixItems", ())
            return [_example(one, known, depth + 1) for one in first]
        case "string":
            return ""
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "boolean":
            return False
        case _:
            return None


# ---------------------------------------------------------------------------------------- OpenAPI


def openapi(app: Litestar, engine: Engine, root: str) -> dict[str, Any]:
    """The description of the API: what Litestar knows of it, the bodies, and a context for each class of sagas."""
    found = app.openapi_schema.to_schema()
    found["servers"] = [{"url": root}]
    schemas: dict[str, Any] = found.setdefault("components", {}).setdefault("schemas", {})
    handlers = [one for route in app.routes if isinstance(route, HTTPRoute) for one in route.route_handlers]
    bodies = [one for one in handlers if "body" in one.opt]
    kinds = [ProblemData, *{one.opt["body"]: None for one in bodies}]
    refs, described = msgspec.json.schema_components(kinds, ref_template=_REF)
    schemas |= described
    of_kind = dict(zip(kinds, refs, strict=True))
    starts = [_start_of(engine, name, saga, schemas) for name, saga in sorted(engine.sagas.items())]
    for handler in bodies:
        ref = of_kind[handler.opt["body"]]
        if handler.opt["body"] is Start and starts:
            ref = {"oneOf": starts, "discriminator": {"propertyName": "saga"}}
        _operation(found, handler)["requestBody"] = {"required": True, "content": {"application/json": {"schema": ref}}}
    problem = {"description": "What is wrong.", "content": {MEDIA_TYPE: {"schema": of_kind[ProblemData]}}}
    for path in found["paths"].values():
        for operation in path.values():
            operation["responses"].pop("400", None)
            operation["responses"]["default"] = problem
    return found


def _operation(found: dict[str, Any], handler: HTTPRouteHandler) -> dict[str, Any]:
    (path,) = handler.paths
    operation: dict[str, Any] = found["paths"][path]["post"]
    return operation


def _start_of(engine: Engine, name: str, saga: type[Saga[Any]], schemas: dict[str, Any]) -> dict[str, str]:
    """The body that starts a saga of this class."""
    kind = engine.types_of(saga).context
    try:
        (context,), described = msgspec.json.schema_components(
            [kind], ref_template=f"#/components/schemas/{name}.{{name}}"
        )
    except TypeError:
        context, described = _schema_alone(kind), {}
    # Under the name of the saga: two sagas may have an Order each.
    schemas |= {f"{name}.{one}": schema for one, schema in described.items()}
    title = f"Start.{name}"
    schemas[title] = {
        "title": title,
        "type": "object",
        "required": ["saga", "context"],
        "additionalProperties": False,
        "properties": {
            "saga": {"const": name},
            "context": context,
            "id": {"type": ["string", "null"], "description": "names the transaction; by default a new one"},
            "delay": {"type": ["number", "null"], "description": "seconds after which it begins"},
        },
    }
    return {"$ref": f"#/components/schemas/{title}"}
