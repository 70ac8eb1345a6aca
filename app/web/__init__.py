"""The network edge: WebSocket and HTTP handlers that translate between bytes and events; no decisions.

Begin with `server.py`, which lists every route.
"""
