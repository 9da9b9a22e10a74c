"""The application: routes, and around them who may ask and what may be sent."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from vatra.errors import VatraError
from vatra.server import page_files
from vatra.server.access_log import AccessLog
from vatra.server.body import Bodies
from vatra.server.document import document
from vatra.server.failure import Failure, noted
from vatra.server.guard import Access, App, Guard
from vatra.server.limits import Limits
from vatra.server.metrics import prometheus
from vatra.server.models import Models
from vatra.server.ollama import Ollama
from vatra.server.openai import OpenAI
from vatra.server.stream import Left

_CODES = {404: "not_found", 405: "method_not_allowed"}
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


def application(
    models: Models,
    access: Access,
    stop: asyncio.Event,
    version: str,
    limits: Limits | None = None,
    log_requests: bool = False,
) -> App:
    """The ASGI application; `stop` being set ends the answers that are being written.

    `version` is that of the program.
    """
    limits = limits or Limits()
    bodies = Bodies(limits)

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(prometheus(models.counters()), media_type=PROMETHEUS)

    api = [
        *OpenAI(models, bodies, stop).routes,
        *Ollama(models, bodies, stop, version).routes,
        Route("/health", health, methods=["GET"]),
        Route("/metrics", metrics, methods=["GET"]),
    ]
    told = document(api, access.key is not None, version)

    async def openapi(request: Request) -> Response:
        return JSONResponse(told)

    page = page_files.routes()
    starlette = Starlette(
        routes=[*api, Route("/openapi.json", openapi, methods=["GET"]), *page],
        exception_handlers={
            VatraError: _failed,
            MemoryError: _failed,
            HTTPException: _not_found,
            Left: _left,
            Exception: _failed,
        },
    )
    app: App = starlette
    if access.origins:
        app = CORSMiddleware(
            app,
            allow_origins=sorted(access.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            max_age=600,
        )
    access = replace(access, free=access.free | {route.path for route in page})
    app = Guard(app, access, limits)
    return AccessLog(app) if log_requests else app


async def _failed(request: Request, error: Exception) -> Response:
    return _told(request, noted(error))


async def _not_found(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    wanted = (error.headers or {}).get("Allow", "")
    what = f"{request.method} is not for {request.url.path:.100}"
    if error.status_code == 404:
        what = f"there is nothing at {request.url.path:.100}; /openapi.json says what there is"
    elif wanted:
        what += f", wanted {wanted}"
    response = _told(request, Failure(what, error.status_code, _CODES.get(error.status_code)))
    response.headers.update(error.headers or {})
    return response


async def _left(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it


def _told(request: Request, failure: Failure) -> Response:
    body = failure.body(request.url.path)
    return Response(body, failure.status, failure.headers, "application/json")
