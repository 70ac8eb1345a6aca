"""Migrations of the database's schema, one file a version; `docs/database.md` says how to add one."""
