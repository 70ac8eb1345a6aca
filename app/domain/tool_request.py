"""The HTTP request of a tool call, and whether it may be sent there."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from app.domain.tools import Tool

MAX_REDIRECTS = 3
_NAT64 = IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class ToolRequest:
    method: str
    url: str
    body: bytes | None = None
    """JSON; None: there is none."""


def request_of(tool: Tool, arguments: Mapping[str, Any]) -> ToolRequest:
    """The arguments in the query, or as a JSON body; a value in the query that is no text is written as JSON."""
    if tool.method not in ("GET", "DELETE"):
        return ToolRequest(tool.method, tool.url, json.dumps(arguments, ensure_ascii=False).encode())
    if not arguments:
        return ToolRequest(tool.method, tool.url)
    written = {k: v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for k, v in arguments.items()}
    separator = "&" if urlsplit(tool.url).query else "?"
    return ToolRequest(tool.method, f"{tool.url}{separator}{urlencode(written)}")


def host_of(url: str) -> str:
    """In small letters, an IPv6 address without brackets; empty where there is none."""
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


def url_problem(tool: Tool, url: str) -> str | None:
    """Why this tool may not be called at this URL, by the URL alone; None where it may."""
    host = host_of(url)
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0
    except ValueError:
        return "it is no URL"
    if parts.scheme not in ("http", "https") or not host or not has_port:
        return "it is no http or https URL"
    if parts.username is not None or parts.password is not None:
        return "it has a user name or a password"
    return None if host in tool.hosts else f"{host} is not among its hosts"


def redirected(tool: Tool, request: ToolRequest, location: str) -> ToolRequest | str:
    """The request that follows a redirect, or why it is not followed."""
    if request.method != "GET":
        return f"a redirect of {request.method} is not followed"
    try:
        url = urljoin(request.url, location)
    except ValueError:
        return "it redirects to what is no URL"
    if problem := url_problem(tool, url):
        return f"a redirect is not followed: {problem}"
    if urlsplit(request.url).scheme == "https" and urlsplit(url).scheme != "https":
        return "a redirect from https to http is not followed"
    return ToolRequest(request.method, url)


def is_public(address: str) -> bool:
    """Whether this IP address is one of the public Internet; an IPv4 address inside of an IPv6 one decides for it."""
    ip: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None)
        ip = inner or ip
    return ip.is_global and not ip.is_multicast
