"""Files of the routing policy and the tenants, and the simulation of the policy.

Begin with `rules_file.py` and `routes_file.py`; `simulation.py` runs the rules under generated load.
"""
