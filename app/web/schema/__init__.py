"""`/schema`: the HTTP API described as an OpenAPI document, and a page that shows it.

Begin with `document.py`, which puts the document together: parameters from the routes themselves, summaries, examples
and errors from the tables beside it.
"""
