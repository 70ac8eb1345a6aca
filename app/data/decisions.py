"""Decision log: stores decisions and expenses in the background, lists and sums up decisions on demand."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

import anyio
import msgspec
import structlog
from anyio import to_thread
from sqlalchemy import bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from app.data.database import as_busy, open_database, stored_moment, transaction
from app.data.decision_json import decode_decision, encode_decision
from app.data.pruning import delete_in_batches
from app.data.row_log import RowLog, Rows
from app.data.tables import DecisionRow, ExpenseRow
from app.domain.routing.decision import DecisionFilter, DecisionRecord, Expense
from app.domain.routing.summary import RouteSummary, summarise

_log = structlog.get_logger("parley.decisions")


@dataclass(slots=True)
class DecisionLog:
    engine: AsyncEngine
    is_recorded: Callable[[str], bool] = field(default=lambda _: True)
    """Whether a session is recorded. One that is not has no row: its time, however coarse, the state of the fleet and
    the money spent so far could be compared with the audit log, which says whose session it was."""
    rows: RowLog[DecisionRecord | Expense] = field(init=False)

    def __post_init__(self) -> None:
        self.rows = RowLog(self.engine, "decision", "decisions", _rows)

    @property
    def dropped(self) -> int:
        """Records that were not stored: the queue was full, the row cannot be written, or the service ended."""
        return self.rows.dropped

    def record(self, record: DecisionRecord | Expense) -> None:
        """Queue it, unless its session is not recorded. Never waits."""
        if not record.session or self.is_recorded(record.session):
            self.rows.record(record)

    async def write_loop(self) -> None:
        """Write what is queued, for ever; while the database is unavailable, try every second."""
        await self.rows.write_loop()

    async def flush(self) -> bool:
        """Write what is queued. False where the database is unavailable: what is left stays queued."""
        return await self.rows.flush()

    async def close(self) -> None:
        """Write what is queued; what cannot be written is lost, and logged."""
        await self.rows.close()

    async def find(self, criteria: DecisionFilter) -> list[DecisionRecord]:
        """The newest first; rows that cannot be decoded are skipped and logged. Raises ProviderBusy."""
        query = select(DecisionRow.record).order_by(DecisionRow.at.desc(), DecisionRow.id).limit(criteria.limit)
        for column in (DecisionRow.session, DecisionRow.tenant, DecisionRow.route, DecisionRow.place):
            if (value := getattr(criteria, column.key)) is not None:
                query = query.where(column == value)
        if criteria.since is not None:
            query = query.where(DecisionRow.at >= stored_moment(criteria.since))
        if criteria.until is not None:
            query = query.where(DecisionRow.at < stored_moment(criteria.until))
        if self.rows.is_available:  # what was just recorded is found, too
            await self.flush()
        with as_busy("decisions"):
            texts = [row.record for row in await self.rows.read(query)]
            return await to_thread.run_sync(_decoded, texts)

    async def summary(self, criteria: DecisionFilter) -> Sequence[RouteSummary]:
        """Share, latency, cost and failures of each route. Raises ProviderBusy."""
        return await to_thread.run_sync(summarise, await self.find(criteria))

    async def spent_on(self, day: str) -> dict[str, float]:
        """US dollars per tenant on this day, like `2026-01-31`; the service's own under the empty name.

        Raises ProviderBusy.
        """
        spent: defaultdict[str, float] = defaultdict(float)
        next_day = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        with as_busy("decisions"):
            async with transaction(self.engine) as connection:
                for row in (DecisionRow, ExpenseRow):
                    query = (
                        select(row.tenant, func.sum(row.usd).label("usd"))
                        .where(row.at >= day, row.at < next_day)
                        .group_by(row.tenant)
                    )
                    for line in await connection.execute(query):
                        spent[line.tenant] += line.usd
        return spent

    async def erase_session(self, session: str) -> dict[str, int]:
        """Anonymise the decisions and expenses of a session: how many of each. Raises ProviderBusy.

        Its id is cleared and their times are cut to the hour. The amounts and the tenant stay, so that its bill still
        adds up.
        """
        if not session:
            return {}
        with as_busy("decisions"):
            if not await self.flush():
                raise TimeoutError  # because what is queued would be stored with its session
            async with transaction(self.engine) as connection:
                found = await connection.execute(
                    select(DecisionRow.id, DecisionRow.at, DecisionRow.record).where(DecisionRow.session == session)
                )
                anonymous = [_anonymous(*row) for row in found]
                if anonymous:
                    query = update(DecisionRow).where(DecisionRow.id == bindparam("row"))
                    values: dict[str, Any] = {name: bindparam(name) for name in ("session", "at", "record")}
                    await connection.execute(query.values(values), anonymous)
                hour = func.substr(ExpenseRow.at, 1, 13).op("||")(":00:00.000+00:00")
                expenses = await connection.execute(
                    update(ExpenseRow).where(ExpenseRow.session == session).values(session="", at=hour)
                )
        return {"decisions": len(anonymous), "expenses": expenses.rowcount}

    async def prune(self, before: datetime) -> None:
        """Delete decisions and expenses that are older than this. Raises ProviderBusy."""
        with as_busy("decisions"):
            for row in (DecisionRow, ExpenseRow):
                await delete_in_batches(self.engine, row, row.at < stored_moment(before))


@asynccontextmanager
async def open_decisions(url: str) -> AsyncIterator[DecisionLog]:
    """The log in this database. What is queued at the end is written. Raises SettingsError."""
    async with open_database(url) as engine, decisions_in(engine) as decisions:
        yield decisions


@asynccontextmanager
async def decisions_in(engine: AsyncEngine) -> AsyncIterator[DecisionLog]:
    """The log in this open database. What is queued at the end is written."""
    decisions = DecisionLog(engine)
    try:
        yield decisions
    finally:
        with anyio.CancelScope(shield=True):
            await decisions.close()


def _anonymous(row: str, at: str, text: str) -> dict[str, str]:
    """The columns of a decision without its session; a record that cannot be decoded is emptied."""
    hour = f"{at[:13]}:00:00.000+00:00"
    try:
        record = encode_decision(replace(decode_decision(text), session="", at=hour)).decode()
    except msgspec.DecodeError:
        record = "{}"
    return {"row": row, "session": "", "at": hour, "record": record}


def _rows(batch: Sequence[DecisionRecord | Expense]) -> Sequence[Rows]:
    return (
        (DecisionRow, [_decision_row(each) for each in batch if isinstance(each, DecisionRecord)]),
        (ExpenseRow, [_expense_row(each) for each in batch if isinstance(each, Expense)]),
    )


def _decision_row(record: DecisionRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "at": record.at,
        "session": record.session,
        "tenant": record.tenant,
        "route": record.chosen or "",
        "place": record.place or "",
        "usd": record.usd,
        "record": encode_decision(record).decode(),
    }


def _expense_row(expense: Expense) -> dict[str, Any]:
    return {
        "uid": expense.id,
        "at": expense.at,
        "route": expense.route,
        "occasion": expense.kind,
        "usd": expense.usd,
        "session": expense.session,
        "tenant": expense.tenant,
        "prompt_tokens": expense.prompt_tokens,
        "generated_tokens": expense.generated_tokens,
        "characters": expense.characters,
    }


def _decoded(texts: Sequence[str]) -> list[DecisionRecord]:
    records = []
    for text in texts:
        try:
            records.append(decode_decision(text))
        except msgspec.DecodeError as error:
            _log.warning("stored decision skipped, it cannot be decoded", reason=str(error))
    return records
