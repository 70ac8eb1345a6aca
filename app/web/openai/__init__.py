"""OpenAI's HTTP API: `transcriptions` is the application of `parley worker`."""
