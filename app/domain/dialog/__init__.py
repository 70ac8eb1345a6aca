"""The conversation as a pure state machine: endpointing, drafts, finals, turns, replies and barge-in.

Begin with `transitions.py` (event in, effects out), then `state.py`; `docs/turn-taking.md` has the whole table.
"""
