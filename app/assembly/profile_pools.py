"""Which reply engines serve a profile, and with which tools."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import structlog

from app.domain.ports import ReplyGenerator, ToolCalling
from app.domain.profile import Profile
from app.domain.tools import Tool
from app.runtime.routing.reply_failover import FailoverReplies, ReplyEngine, ReplyPool
from app.runtime.routing.session_budget import SessionBudget
from app.runtime.tools.http_tools import HttpTools
from app.runtime.tools.tool_replies import ToolReplies, offering

_log = structlog.get_logger("parley.replies")


@dataclass(frozen=True, slots=True)
class ProfilePools:
    """The open engines, as a profile chooses among them."""

    pool: ReplyPool
    """For profiles that name no engine; it may be empty."""
    engines: Mapping[str, ReplyEngine]
    """All that are open, by name."""
    reserve: ReplyEngine | None
    """A free one, for a spent budget."""
    engine_name: Callable[[Profile], str]
    http: HttpTools

    def generator(self, profile: Profile, budget: SessionBudget) -> ReplyGenerator | None:
        """What replies in a session with this profile and budget; None where nothing does."""
        pool = self._pool(profile)
        if not pool.engines:
            return None
        if not profile.tools:
            return FailoverReplies(pool, budget)
        return ToolReplies(
            FailoverReplies(offering(pool, profile.tools, may_call=True), budget),
            FailoverReplies(offering(pool, profile.tools, may_call=False), budget),
            {tool.name: tool for tool in profile.tools},
            self.http,
            profile.max_rounds,
        )

    def generator_with(
        self, profile: Profile | None, tools: Sequence[Tool], budget: SessionBudget, *, may_call: bool
    ) -> ReplyGenerator | None:
        """What replies and is offered these tools alone, whose calls it gives without results.

        None where an engine of the profile cannot call tools, or there is none.
        """
        pool = self.pool if profile is None else self._pool(profile)
        if not pool.engines or not all(isinstance(each.generator, ToolCalling) for each in pool.engines):
            return None
        return FailoverReplies(offering(pool, tools, may_call=may_call), budget)

    def engines_of(self, profile: Profile | None) -> Sequence[ReplyEngine]:
        """The engines that may write a reply with this profile, in their order."""
        return (self.pool if profile is None else self._pool(profile)).engines

    def warn_of_ignored_tools(self, profiles: Collection[Profile]) -> None:
        """One line in the log for each profile with tools and each of its engines that cannot call any."""
        for profile in profiles:
            for engine in self._pool(profile).engines if profile.tools else ():
                if not isinstance(engine.generator, ToolCalling):
                    _log.warning("tools ignored: this engine cannot call any", profile=profile.name, engine=engine.name)

    def _pool(self, profile: Profile) -> ReplyPool:
        """The profile's engine alone; where it costs money, with the free one for a spent budget."""
        if not profile.engine:
            return self.pool
        engine = self.engines[self.engine_name(profile)]
        spare = self.reserve if not engine.price.is_free else None
        return replace(self.pool, engines=[engine, spare] if spare else [engine])
