"""Speech recognition with Whisper: drafts while someone speaks, a final when they pause, recordings in the background.

Begin with `whisper.py` (the engine), then `session.py` (one session), `fallback.py` and `decode.py` (one decoding).
"""
