"""Jobs: batch transcription of whole recordings, uploaded or archived, with the model on this machine.

Begin with `batch_transcription.py`; `upload.py` makes a recording of a file, `retranscription.py` adds a transcript.
"""
