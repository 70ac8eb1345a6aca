"""Performs a tool call over HTTP, under the limits of the tool: time, size, hosts, addresses."""

import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import httpx
import structlog

from app.domain.storable_text import storable_text
from app.domain.tool_request import MAX_REDIRECTS, ToolRequest, is_public, redirected, request_of
from app.domain.tools import BAD_ARGUMENTS, KEPT_CHARACTERS, Tool, ToolCall, arguments_of

CONNECT_TIMEOUT_S = 5.0
MAX_CONNECTIONS = 100
PORTS = {"http": 80, "https": 443}

_log = structlog.get_logger("parley.tools")


class ToolRefused(Exception):
    """This call is not made, or its answer is of no use. The message is for the model."""

    def __init__(self, message: str, excerpt: str = "") -> None:
        super().__init__(message)
        self.excerpt = excerpt
        """What the tool says about it; not for the log."""


@dataclass(frozen=True, slots=True)
class HttpTools:
    """Performs calls; shared by all sessions."""

    client: httpx.AsyncClient

    async def call(self, tool: Tool, call: ToolCall) -> str:
        """What the model is told: the answer's text, or a sentence that begins with "error". Raises nothing of HTTP.

        Cancelled, it closes the connection.
        """
        arguments = arguments_of(call)
        if arguments is None:
            return BAD_ARGUMENTS
        began, text, problem, excerpt = anyio.current_time(), "", "", ""
        try:
            with anyio.fail_after(tool.timeout_s):
                text = await self._answer(tool, request_of(tool, arguments))
        except TimeoutError:
            problem = f"no answer within {tool.timeout_s:g} s"
        except ToolRefused as error:
            problem, excerpt = str(error), error.excerpt
        except (httpx.HTTPError, httpx.InvalidURL, OSError):
            problem = "the tool cannot be reached"
        ms = round((anyio.current_time() - began) * 1000)
        _log.info("tool called", tool=tool.name, ms=ms, error=problem)
        return f"error: {problem}{excerpt}" if problem else text

    async def _answer(self, tool: Tool, request: ToolRequest) -> str:
        for _ in range(MAX_REDIRECTS + 1):
            async with self._sent(tool, request) as response:
                if not response.has_redirect_location:
                    return await _text(tool, response)
                following = redirected(tool, request, response.headers["location"])
            if isinstance(following, str):
                raise ToolRefused(following)
            request = following
        raise ToolRefused("it redirects without end")

    @asynccontextmanager
    async def _sent(self, tool: Tool, request: ToolRequest) -> AsyncGenerator[httpx.Response, None]:
        """The response, from an address that was checked: its name is not looked up a second time."""
        url = httpx.URL(request.url)
        host = url.raw_host.decode()
        if host not in tool.hosts:  # because two parsers may read one text as two hosts
            raise ToolRefused(f"{host} is not among its hosts")
        addresses = await _checked_addresses(tool, host, url.port or PORTS[url.scheme])
        headers = {"accept-encoding": "identity", **tool.headers, "host": url.netloc.decode()}
        if request.body is not None:
            headers["content-type"] = "application/json"
        for address in addresses:
            sent = self.client.build_request(
                request.method,
                url.copy_with(host=address),
                headers=headers,
                content=request.body,
                extensions={"sni_hostname": host},
            )
            try:
                response = await self.client.send(sent, stream=True)
                break
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if address == addresses[-1]:
                    raise
        try:
            yield response
        finally:
            await response.aclose()


async def _checked_addresses(tool: Tool, host: str, port: int) -> Sequence[str]:
    """Those of the host. Raises ToolRefused where one is not public, and OSError where there is none."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(info[4][0]) for info in found))
    if not tool.private and not all(is_public(address) for address in addresses):
        raise ToolRefused(f"{host} has an address that is not public")
    return addresses


async def _text(tool: Tool, response: httpx.Response) -> str:
    """Raises ToolRefused where it is too large, compressed, or no success."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise ToolRefused("the answer is compressed")  # because its size is known only when it is unpacked
    body = bytearray()
    async for part in response.aiter_raw():
        body += part
        if len(body) > tool.max_bytes:
            raise ToolRefused(f"the answer is larger than {tool.max_bytes} bytes")
    text = storable_text(body.decode(errors="replace"))
    if not response.is_success:
        raise ToolRefused(f"HTTP {response.status_code}", f": {text[:KEPT_CHARACTERS]}")
    return text or "(an empty answer)"


@asynccontextmanager
async def open_http_tools() -> AsyncGenerator[HttpTools, None]:
    """No proxy is used, because it, and not this process, would decide which address a name has."""
    timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
    limits = httpx.Limits(max_connections=MAX_CONNECTIONS, max_keepalive_connections=0)
    verify = httpx.create_ssl_context()
    async with httpx.AsyncClient(timeout=timeout, limits=limits, verify=verify, trust_env=False) as client:
        yield HttpTools(client)
