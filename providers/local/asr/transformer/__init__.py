"""What transformer models on onnxruntime share: building and keeping graphs, greedy and speculative decoding.

Begin with `greedy.py`, then `graph.py` and `graph_cache.py`.
"""
