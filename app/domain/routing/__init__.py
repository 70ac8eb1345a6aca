"""Routing policy, pure: which route makes a final (`rank`), and hedging, failover and deadlines (`hedging`).

Begin with `rank.py`, then `hedging.py`; `driver.py` executes what hedging orders.
"""
