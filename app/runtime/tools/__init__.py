"""Tools that a reply engine calls: `tool_replies.py` is a reply with its calls, `http_tools.py` performs one.

`app/domain/tools.py` and `app/domain/tool_request.py` decide.
"""
