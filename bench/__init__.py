"""The load and latency harness: recorded people talk to a server, and a stopwatch runs."""
