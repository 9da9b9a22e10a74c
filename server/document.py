"""The OpenAPI document: made of the request types, so that it cannot say what is not so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from math import inf
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from starlette.routing import Route

from vatra.engine.fields import types_of
from vatra.engine.openai.requests import REQUESTS as TEXTS
from vatra.engine.sampling import Sampling
from vatra.server import ollama_requests, openai_requests

REQUESTS: dict[str, Any] = {
    **TEXTS,
    "/v1/embeddings": openai_requests.EmbeddingsRequest,
    "/tokenize": openai_requests.TokenizeRequest,
    "/detokenize": openai_requests.DetokenizeRequest,
    "/apply-template": openai_requests.TemplateRequest,
    "/api/chat": ollama_requests.ChatRequest,
    "/api/generate": ollama_requests.GenerateRequest,
    "/api/embed": ollama_requests.EmbedRequest,
    "/api/embeddings": ollama_requests.EmbeddingsRequest,
    "/api/show": ollama_requests.ShowRequest,
}
_STREAMS = {"/v1": "text/event-stream", "/api": "application/x-ndjson"}
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def document(routes: Iterable[Route], with_key: bool, version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of the API's routes; `version` is that of the program."""
    paths: dict[str, Any] = {}
    for route in routes:
        path = re.sub(r":path}", "}", route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            operation = _operation(route, path)
            asked = path if path in REQUESTS else path.removeprefix("/v1")
            if asked in REQUESTS:
                schema = {"$ref": f"#/components/schemas/{_name(asked)}"}
                operation["requestBody"] = {
                    "required": True,
                    "content": {"application/json": {"schema": schema}},
                }
            paths.setdefault(path, {})[method.lower()] = operation
    schemas = {_name(path): _schema(kind) for path, kind in REQUESTS.items()}
    components: dict[str, Any] = {"schemas": {**schemas, "Error": _ERROR}}
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Vatra",
            "version": version,
            "description": "Language models on your own machine: OpenAI's API, and Ollama's.",
        },
        "paths": paths,
        "components": components,
    }
    if with_key:
        components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"key": []}]
    return found


def _operation(route: Route, path: str) -> dict[str, Any]:
    answer: dict[str, Any] = {"application/json": {}}
    kind = REQUESTS.get(path)
    if kind is not None and "stream" in types_of(kind):
        answer |= {media: {} for before, media in _STREAMS.items() if path.startswith(before)}
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    operation: dict[str, Any] = {
        "operationId": re.sub(r"\W+", "_", path).strip("_"),
        "responses": {
            "200": {"description": "The answer.", "content": answer},
            "default": {"description": "What went wrong.", "content": error},
        },
    }
    parameters = re.findall(r"{(\w+)}", path)
    if parameters:
        operation["parameters"] = [
            {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
            for name in parameters
        ]
    return operation


def _name(path: str) -> str:
    return path.strip("/").replace("/", ".")


def _schema(kind: Any, limits: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The JSON schema of a type of the requests, within what its field's metadata say."""
    inner = [known for known in get_args(kind) if known is not NoneType]
    if is_dataclass(kind):
        return _object(kind)
    if get_origin(kind) is Literal:
        return {"enum": inner}
    if get_origin(kind) in (Union, UnionType):
        found = [_schema(known, limits) for known in inner]
        return {"anyOf": found} if len(found) > 1 else found[0]
    if get_origin(kind) in (Sequence, Iterable, tuple):
        alike = get_origin(kind) is not tuple or inner[-1] is ...
        return {"type": "array", "items": _schema(inner[0]) if alike else {}}
    names = {str: "string", bool: "boolean", int: "integer", float: "number", Any: ""}
    low, high = limits.get("range", (-inf, inf))
    plain = {"type": names.get(kind, "object"), "minimum": low, "maximum": high}
    return {name: value for name, value in plain.items() if value not in ("", -inf, inf)}


def _object(kind: Any) -> dict[str, Any]:
    properties: dict[str, Any] = {}
    for known in fields(kind):
        if "names" in known.metadata:
            types = types_of(Sampling)
            properties |= {
                f.name: _schema(f.metadata.get("type", types[f.name]), f.metadata)
                for f in fields(Sampling)
                if f.name in known.metadata["names"]
            }
        else:
            properties[known.name] = _schema(types_of(kind)[known.name], known.metadata)
    required = [f.name for f in fields(kind) if f.default is f.default_factory is MISSING]
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
