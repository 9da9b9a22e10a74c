"""The API of `vatra serve` from two replicas of Ray Serve, each with a model of its own.

pip install 'vatra[serve,ray]'; python examples/ray_serve.py [model.gguf]; then any client of
OpenAI's API finds it at http://127.0.0.1:8000/v1. Every machine must have the model's file.
"""

import asyncio
import os
import sys

from ray import serve

import vatra
from vatra import spark
from vatra.server.app import application
from vatra.server.guard import Access, App, Receive, Scope, Send
from vatra.server.workers import Options, Workers

MODEL = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else spark.path())
N_CPUS = 1  # of each replica, and threads of its model


def api() -> App:
    """What a replica answers with; the first request loads its model."""
    workers = Workers({"model": MODEL}, Options(threads=N_CPUS))
    # Ray's proxy is asked by the names of this machine; `names` and `key` let others in.
    served = application(workers, Access(port=0), asyncio.Event(), vatra.__version__)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await served(scope, receive, send)
            return
        await receive()  # it begins
        async with workers:
            await send({"type": "lifespan.startup.complete"})
            await receive()  # the end of the replica
        await send({"type": "lifespan.shutdown.complete"})

    return app


deployment = serve.deployment(
    serve.ingress(api)(), name="vatra", num_replicas=2, ray_actor_options={"num_cpus": N_CPUS}
).bind()

if __name__ == "__main__":
    serve.run(deployment, blocking=True)
