"""Engines by vendor: each package implements Protocols of `app.domain.ports` and knows the domain and its own SDK only.

`app/registry.py` names their openers.
"""
