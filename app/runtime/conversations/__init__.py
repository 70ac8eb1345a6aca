"""Conversations that last: replies to messages in text, and what a voice session adds to its conversation.

Begin with `chat.py`; `reply_run.py` is one reply while it is generated; `app/domain/conversations` decides.
"""
