"""Deepgram's API over Parley's sessions, files and voices: `/v1/listen`, Flux on `/v2/listen`, `/v1/speak`.

`listen_protocol` and `flux_protocol` are the protocols without a socket; begin there. `docs/protocols/deepgram.md` says
what differs from Deepgram's own service.
"""
