"""Runs Alembic's migrations on an open connection. It takes half a second to import: do so only to migrate."""

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def migrate(connection: Connection, version: str, *, back: bool) -> None:
    """To this version, in the transaction of this connection; back to `base`: remove all tables."""
    configuration = Config()
    configuration.set_main_option("script_location", "app.data:migrations")
    configuration.attributes["connection"] = connection
    (command.downgrade if back else command.upgrade)(configuration, version)
