"""Parley's own WebSocket protocol, as `frontend/PROTOCOL.md` has it.

Begin with `sockets`, one session from handshake to close; `packets` and `messages` are the bytes, `socket_client`
the adapter between them and a session.
"""
