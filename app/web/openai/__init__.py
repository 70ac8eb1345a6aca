"""OpenAI's HTTP API, for clients that were written for it.

`transcriptions` and `models` are served by a gateway and by `parley worker`, whose application is `worker`.
"""
