"""`/admin`: running sessions and draining, for administrators. `sessions.py` has the handlers."""
