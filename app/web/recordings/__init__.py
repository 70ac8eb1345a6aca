"""HTTP API of the archive, `/recordings`: list, read, play and delete recordings, and upload files to be transcribed.

Begin with `router.py`, which names every handler; `access.py` says who may see what and how errors are answered.
"""
