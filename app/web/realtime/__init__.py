"""OpenAI's Realtime API (GA) over Parley's sessions: `/v1/realtime`, conversations and transcription.

`protocol.py` is the whole protocol without a socket: events of the client in, inputs of the session and events of the
server out. Begin there; `docs/protocols/openai-realtime.md` says what differs from OpenAI's own service.
"""
