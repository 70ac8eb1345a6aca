"""Amazon's engines: finals from Transcribe streaming (`transcribe.py`) and speech from Polly (`polly.py`).

Begin with `transcribe.py`, then `session.py`: one speaker's utterances on one stream. `check.py` checks whether an
account can be used.
"""
