"""What of a model's output is its reply: thinking and the control tokens of chat templates are taken out of it.

Thinking stands between tags (`<think>`, `[THINK]`, `◁think▷`), nested or never closed, or in a channel of its own
(`<|channel|>analysis<|message|>`). Some servers leave out the opening tag: such a model `begins_thinking`. Where tags
are split over deltas, no more is held back than may be the beginning of one.
"""

import re
from dataclasses import dataclass, replace
from functools import reduce

_TAGS = ("think", "thinking", "thought", "reasoning", "reflection", "seed:think")
_TURNS = ("start_of_turn", "end_of_turn")

_MARKER = re.compile(
    rf"""<(?P<closes_tag>/?)(?:{"|".join(_TAGS)})(?:\s[^<>]{{0,80}})?>
      | \[(?P<closes_bracket>/?)THINK\]
      | ◁(?P<closes_triangle>/?)think▷
      | <[|｜](?P<token>[^<>|｜\s]{{1,40}})[|｜]>
      | <(?P<turn>{"|".join(_TURNS)})>
      | </?s> | \[/?INST\]""",  # noqa: RUF001 because DeepSeek's tokens have these bars
    re.VERBOSE | re.IGNORECASE,
)


def _any_prefix(word: str) -> str:
    """A pattern for every beginning of a word."""
    return reduce(lambda rest, letter: f"(?:{re.escape(letter)}{rest})?", reversed(word), "")


_MARKER_BEGINNING = re.compile(
    rf"""</?(?:{"|".join(map(_any_prefix, (*_TAGS, *_TURNS, "s")))})
      | </?(?:{"|".join(_TAGS)})\s[^<>]{{0,80}}
      | <[|｜][^<>|｜\s]{{0,40}}[|｜]?
      | \[/?(?:{_any_prefix("THINK")}|{_any_prefix("INST")})
      | ◁/?{_any_prefix("think")}""",  # noqa: RUF001 likewise
    re.VERBOSE | re.IGNORECASE,
)
_LONGEST_MARKER = 100

_LAST_TOKENS = frozenset(
    {"im_end", "endoftext", "end_of_text", "eot_id", "eom_id", "eot", "return", "end▁of▁sentence", "end_of_turn"}
    | {"user", "system", "observation"}
)
"""Names of the tokens that end a reply: what comes behind them is not the assistant's."""
_HEADERS = {
    "im_start": "\n",
    "start_of_turn": "\n",
    "start_header_id": "end_header_id",
    "start": "message",
    "channel": "message",
}
"""Names of the tokens that open a header, and what ends it. The first three begin another turn."""
_NEXT_TURN = frozenset({"im_start", "start_of_turn", "start_header_id"})


@dataclass(frozen=True, slots=True)
class ReplyText:
    """State of one reply: a tag may be incomplete, and thinking may be open."""

    begins_thinking: bool = False
    """The output begins inside of thinking, without a tag. Where no tag closes it either, it was the reply."""
    depth: int | None = None
    """Tags of thinking that are open; None: nothing has come yet."""
    pending: str = ""
    """May be the beginning of a tag or token."""
    hidden: str = ""
    """Thinking since the last closing tag."""
    header: str = ""
    """What ends the open header; empty where none is open."""
    header_text: str = ""
    has_text: bool = False
    """Some of the reply has been passed on."""
    has_thought: bool = False
    has_closed: bool = False
    """A closing tag has come."""
    lacks_opening: bool = False
    """A closing tag came without an opening one: what was passed on before it was thinking."""
    is_over: bool = False
    """The reply has ended; whatever else comes is not part of it."""

    def push(self, delta: str) -> tuple["ReplyText", str]:
        """The state after one more delta, and the text to pass on, which may be empty."""
        text, shown = self.pending + delta, ""
        state = replace(self, pending="", depth=int(self.begins_thinking) if self.depth is None else self.depth)
        at = 0
        for marker in _MARKER.finditer(text):
            state, passed = _accept_text(state, text[at : marker.start()])
            shown, at = shown + passed, marker.end()
            state = _accept_marker(state, marker)
        held_at = _marker_beginning(text, at)
        state, passed = _accept_text(state, text[at:held_at])
        return replace(state, pending=text[held_at:]), shown + passed

    def finish(self) -> str:
        """The remainder when the output has ended."""
        state, shown = _accept_text(self, self.pending)
        is_answer = (self.begins_thinking and not state.has_closed) or (state.has_closed and state.depth)
        if is_answer and not state.has_text:  # a tag was never opened or never closed: this was the reply
            return state.hidden.strip()
        return shown


def _accept_text(state: ReplyText, text: str) -> tuple[ReplyText, str]:
    if state.is_over or not text:
        return state, ""
    if state.header:
        name, end, behind = text.partition(state.header)
        named = replace(state, header_text=state.header_text + name)
        return _accept_text(replace(named, header=""), behind) if end else (named, "")
    if state.depth:
        return replace(state, hidden=state.hidden + text, has_thought=state.has_thought or bool(text.strip())), ""
    shown = text if state.has_text else text.lstrip()
    return replace(state, has_text=bool(shown)), shown


def _accept_marker(state: ReplyText, marker: re.Match[str]) -> ReplyText:
    if state.is_over:
        return state
    if token := (marker["token"] or marker["turn"] or "").lower():
        return _accept_token(state, token)
    closes = (marker["closes_tag"], marker["closes_bracket"], marker["closes_triangle"])
    if closes == (None, None, None):  # the rest has no meaning of its own
        return state
    depth = state.depth or 0
    if "/" not in closes:
        return replace(state, depth=depth + 1)
    lacks_opening = state.lacks_opening or depth == 0
    return replace(state, depth=max(0, depth - 1), hidden="", has_closed=True, lacks_opening=lacks_opening)


def _accept_token(state: ReplyText, name: str) -> ReplyText:
    if state.header == name:  # the end of a header; that of a channel says what follows
        is_thinking = name == "message" and state.header_text.strip().lower() in {"analysis", "commentary"}
        return replace(state, header="", depth=int(is_thinking), hidden="")
    if name in _LAST_TOKENS or (name in _NEXT_TURN and state.has_text):
        return replace(state, is_over=True)
    if name == "end":
        return replace(state, depth=0)
    if name in _HEADERS:
        return replace(state, header=_HEADERS[name], header_text="")
    if name in {"begin_of_thought", "end_of_thought"}:
        return replace(state, depth=int(name == "begin_of_thought"), has_closed=name == "end_of_thought")
    return state


def _marker_beginning(text: str, at: int) -> int:
    """Where the tail begins that may become a marker; the length of the text where there is none."""
    for start in range(max(at, len(text) - _LONGEST_MARKER), len(text)):
        if text[start] in "<[◁" and _MARKER_BEGINNING.fullmatch(text, start):
            return start
    return len(text)
