"""A line for each request: when, what, how it ended, how long it took; nothing of what was said."""

from __future__ import annotations

import logging
import time

from vatra.errors import printable
from vatra.server.guard import App, Message, Receive, Scope, Send

LOG = logging.getLogger("vatra.server.requests")
_MOST_PATH = 100


class AccessLog:
    """Tells of each request to `app` on the log; its query and headers are not told either."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin = time.monotonic()
        status, complete = 0, False

        async def told(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                complete = True

        try:
            await self.app(scope, receive, told)
        finally:
            client = (scope.get("client") or ("?",))[0]
            LOG.info(
                "%s %s %s %s %.3f s%s",
                client,
                scope["method"],
                printable(scope["path"])[:_MOST_PATH],
                status or "-",
                time.monotonic() - begin,
                "" if complete else " not sent to its end",
            )
