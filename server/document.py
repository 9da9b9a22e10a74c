"""The OpenAPI document: made of the request types, so that it cannot say what is not so."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from vatra.server import ollama_requests, openai_requests

REQUESTS: dict[str, type[BaseModel]] = {
    "/v1/chat/completions": openai_requests.ChatRequest,
    "/v1/completions": openai_requests.CompletionRequest,
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
    kinds = [(kind, "validation") for kind in dict.fromkeys(REQUESTS.values())]
    names, schemas = models_json_schema(
        kinds,  # type: ignore[arg-type]
        ref_template="#/components/schemas/{model}",
    )
    paths: dict[str, Any] = {}
    for route in routes:
        path = re.sub(r":path}", "}", route.path)
        for method in sorted((route.methods or set()) - {"HEAD"}):
            operation = _operation(route, path)
            kind = REQUESTS.get(path.removeprefix("/v1"), REQUESTS.get(path))
            if kind is not None:
                schema = names[(kind, "validation")]
                operation["requestBody"] = {
                    "required": True,
                    "content": {"application/json": {"schema": schema}},
                }
            paths.setdefault(path, {})[method.lower()] = operation
    components: dict[str, Any] = {"schemas": {**schemas.get("$defs", {}), "Error": _ERROR}}
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
    if kind is not None and "stream" in kind.model_fields:
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
