"""Clients for the servers that can be benchmarked, by protocol. Start with `connection.py`."""

from bench.protocols.connection import Connection, Opener, ServerEvent
from bench.protocols.openai_realtime import open_openai_realtime
from bench.protocols.parley import open_parley
from bench.protocols.realtimestt import open_realtimestt
from bench.protocols.whisperlive import open_whisperlive
from bench.protocols.whisperlivekit import open_whisperlivekit
from bench.protocols.wyoming import open_wyoming

PROTOCOLS: dict[str, Opener] = {
    "parley": open_parley,
    "whisperlive": open_whisperlive,
    "whisperlivekit": open_whisperlivekit,
    "realtimestt": open_realtimestt,
    "wyoming": open_wyoming,
    "openai-realtime": open_openai_realtime,
}

__all__ = ["PROTOCOLS", "Connection", "Opener", "ServerEvent"]
