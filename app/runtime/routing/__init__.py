"""Routing at run time: one `FinalRequest` per utterance, the routes of the process with their probes, and the ledger.

Begin with `final_request.py`, then `routes.py`.
"""
