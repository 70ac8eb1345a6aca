"""Recording: each session is written to the local session log first, and uploaded to the blob store behind it.

Begin with `recorder.py` (memory to disk), then `uploader.py` (disk to store) and `recording_store.py` (what is stored).
"""
