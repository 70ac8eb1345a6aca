"""HTTP and WebSocket edge (Litestar): adapters from each protocol to sessions, recordings and policy; no logic.

Begin with `server.create_app`, then `parley.sockets`; `errors` is the one table from exceptions to answers.
"""
