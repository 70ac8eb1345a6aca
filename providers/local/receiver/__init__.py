"""Replies from a receiver: the second server of the earlier deployments, on TCP port 5001.

Begin with `replies.py`; `frames.py` has what travels between the two.
"""
