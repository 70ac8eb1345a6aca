"""Benchmarks: stream recorded speech to a server in real time and measure latency, accuracy and load.

Begin with `__main__.py`; docs/benchmarks.md explains the method.
"""
