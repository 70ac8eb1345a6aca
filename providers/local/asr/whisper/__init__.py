"""Whisper: CTranslate2 model folders, decoded by CTranslate2 on CUDA and by onnxruntime on a CPU.

Begin with `recognizer.py`, then `decode.py` (one pass) and `opening.py` (the weights as ONNX graphs).
"""
