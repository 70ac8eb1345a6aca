"""Conversations that last: their messages, the title, the window of history that a reply sees, the formats of export.

Begin with `message.py`. Everything here is pure: values in, values out.
"""
