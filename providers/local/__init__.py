"""Engines that run inside this process: speech recognition, voice activity, end of turn, small replies, synthesis.

Begin with `asr/whisper.py` (an utterance to text) and `inference_pool.py` (which of the waiting passes runs next).
"""
