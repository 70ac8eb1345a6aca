"""Speaker embedding: the voice of an utterance as a vector, by which utterances of one speaker are recognised.

Begin with `embedder.py`; `features.py` has the network's input. Labels are made of embeddings in `app.domain.speakers`.
"""
