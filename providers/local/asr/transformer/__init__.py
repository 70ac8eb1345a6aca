"""Whisper's encoder and decoder as ONNX graphs, made from a CTranslate2 checkpoint and run by onnxruntime.

Begin with `opening.py`, then `decoder.py` (greedy decoding with draft tokens) and `graph_cache.py` (where graphs lie).
"""
