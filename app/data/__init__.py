"""Database (SQLite or PostgreSQL): routing decisions, expenses and spending. Begin with `decisions.py`."""
