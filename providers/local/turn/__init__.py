"""End-of-turn detection from audio: the probability that a speaker who paused has finished.

Begin with `smart_turn.py`.
"""
