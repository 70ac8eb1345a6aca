"""Parley, a real-time speech server; `cli` holds the `parley` command, and ARCHITECTURE.md shows the structure."""
