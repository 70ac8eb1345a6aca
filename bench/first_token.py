"""How long the first token of a reply takes from its server to the session: HTTP, event stream, filter and failover.

    python -m bench.first_token --replies 500

The server runs in a process of its own. Its tokens are the times at which it sends them, on the clock that all
processes of the machine share.
"""

import argparse
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from statistics import median, quantiles
from typing import Any

import anyio
import uvicorn

from app.domain.dialog.conversation import Message, Role
from app.domain.routing.rules import RoutingRules
from app.domain.tenant import Tenant
from app.runtime.clock import SystemClock
from app.runtime.routing.engine_health import EngineHealth
from app.runtime.routing.reply_failover import FailoverReplies, ReplyEngine, ReplyPool
from app.runtime.routing.routes import Routes
from app.runtime.routing.session_budget import SessionBudget
from providers.openai.chat import open_chat

QUESTION = (Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "What time is it?"))


async def clock_server(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI application whose replies are the time, in nanoseconds."""
    if scope["type"] != "http":
        return
    await receive()
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send(_event({"role": "assistant", "content": ""}))
    await send(_event({"content": f"{time.monotonic_ns()} "}))
    await send(_event({}, "stop"))
    await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})


def _event(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    chunk = json.dumps({"choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]})
    return {"type": "http.response.body", "body": f"data: {chunk}\n\n".encode(), "more_body": True}


def serve() -> None:
    """Print the port and serve until this process is stopped."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(clock_server, log_config=None, log_level="critical", lifespan="off")
        uvicorn.Server(config).run(sockets=[listening])


@contextmanager
def server() -> Iterator[str]:
    """The base URL of such a server in another process."""
    command = [sys.executable, "-m", "bench.first_token", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/v1"
        finally:
            process.terminate()


async def measure(base_url: str, replies: int) -> list[float]:
    """Milliseconds from the server's first token to the session, but for the reply that connects."""
    clock = SystemClock()
    routes = Routes((), {}, RoutingRules, clock, lambda: 0.0)
    async with open_chat(provider_name="clock", base_url=base_url, api_key="", model="clock") as chat:
        pool = ReplyPool((ReplyEngine("clock", chat),), EngineHealth(["clock"], clock, lambda: 0.0))
        engine = FailoverReplies(pool, SessionBudget(routes, "", Tenant("")))
        taken = []
        for _ in range(replies + 1):
            async with aclosing(engine.reply(QUESTION)) as texts:
                sent = int(str(await anext(texts)))
                taken.append((time.monotonic_ns() - sent) / 1e6)
                async for _ in texts:
                    pass
    return taken[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replies", type=int, default=500)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    with server() as base_url:
        taken = anyio.run(measure, base_url, options.replies)
    p95, p99 = quantiles(taken, n=100)[94], quantiles(taken, n=100)[98]
    print(f"first token, {len(taken)} replies: p50 {median(taken):.2f} ms, p95 {p95:.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()
