"""Speech synthesis inside this process.

Begin with `piper.py`.
"""
