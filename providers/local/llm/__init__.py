"""Replies written by a small language model inside this process, with llama.cpp.

Begin with `embedded.py` (the queue of replies), then `llama.py` (the model and its context).
"""
