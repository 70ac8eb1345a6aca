"""Database (SQLite or PostgreSQL): decisions, expenses, spending, API keys, audit log. Begin with `decisions.py`."""
