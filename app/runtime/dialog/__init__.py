"""One live session: its inbox and loop, the effects it carries out, the reply pipeline, the outbox of its client.

Begin with `session.py`; the decisions are in `app/domain/dialog`.
"""
