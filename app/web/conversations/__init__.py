"""HTTP API of conversations: `/conversations` keeps them and answers messages, `/chat` answers one and keeps nothing.

Begin with `router.py`, which names every handler; `access.py` says who may see what.
"""
