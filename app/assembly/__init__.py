"""Wiring: settings to engines, stores and the service; the only package that knows all three.

Begin with `service.py`.
"""
