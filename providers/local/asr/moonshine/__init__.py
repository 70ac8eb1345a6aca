"""Moonshine (English): encoder and decoder as ONNX graphs, made from the published weights and run by onnxruntime.

Begin with `opening.py`, then `model.py` (samples to text) and `weights.py` (how the published files are read).
"""
