"""Voice activity detection: a speech probability for every frame of a stream, and the speech segments of a recording.

Begin with `silero.py` (the stream detector); `speech_segments.py` runs the same network over audio already in memory.
"""
