"""Asynchronous shell around the domain: sessions, routing of finals, recording, jobs; knows no vendor.

Begin with `service.py`, which serves one session, and `dialog/session.py`, its loop.
"""
