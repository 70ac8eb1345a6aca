"""A pool of connections that closes whatever is returned to it after it was disposed of."""

import logging
from typing import Any

from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.pool import ConnectionPoolEntry

logging.getLogger(__name__).setLevel(logging.WARNING)  # because pools of SQLAlchemy's own say no more


class ClosingPool(AsyncAdaptedQueuePool):
    """Whoever disposes of a pool replaces it, while others use connections of it, or wait for one to be made.

    SQLAlchemy's own takes those back and is then forgotten with them: they stay open until a garbage collection, which
    cannot close a connection that needs the event loop.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._is_disposed = False

    def dispose(self) -> None:
        self._is_disposed = True
        super().dispose()

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        if self._is_disposed:
            record.invalidate()
        super()._do_return_conn(record)
