"""Engines that run inside this process: speech recognition, voice activity, end of turn, small replies, synthesis.

And one that runs beside it: `receiver/`, replies of another program of this deployment.

Begin with `asr/whisper.py` (an utterance to text) and `inference_pool.py` (which of the waiting passes runs next).
"""
