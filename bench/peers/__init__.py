"""Servers around libraries of other projects that bring none, for `python -m bench voice --protocol realtimestt`.

Each runs in an environment of its own with that library and `websockets`, and imports nothing of Parley.
"""
