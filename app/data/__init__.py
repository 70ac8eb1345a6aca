"""What outlives a session: tables in SQLite or PostgreSQL."""
