"""Replies (`chat.py`) and finals (`transcription.py`) over OpenAI's HTTP protocol, from OpenAI or a compatible server.

`client.py` opens the HTTP client and `errors.py` translates its errors; begin with `chat.py`.
"""
