"""Database (SQLite or PostgreSQL): routing decisions and expenses. Begin with `decisions.py`."""
