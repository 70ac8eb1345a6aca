"""The model files: `catalogue` lists them, `fetch` installs them, `resolve` finds them for the engines.

Begin with `fetch.pull`; `staging`, `hub` and `wheels` are its parts, `verification` says what is installed.
"""
