"""What is a legal order of server events in the Wyoming protocol, behind the events that a client has sent."""

from collections import deque
from dataclasses import dataclass, field

STREAMED = ("audio-start", "audio-chunk", "audio-stop")


@dataclass
class WyomingOrder:
    """Knows which answers are outstanding; an assertion fails at the first event that none of them allows."""

    pending: deque[str] = field(default_factory=deque)
    """Kinds of client events that have an answer and are not answered yet, oldest first."""
    pongs: deque[str] = field(default_factory=deque)
    is_dictating: bool = False
    is_streaming: bool = False
    """The client is in the middle of a text that comes in pieces."""
    last: str = ""
    """Event of the answer that goes on; empty where none does."""

    def sent(self, kind: str, *, is_valid: bool = True, text: str = "") -> None:
        """The client has sent this event."""
        if kind == "ping":
            self.pongs.append(text)
        if kind == "audio-start":
            self.is_dictating = self.is_dictating or is_valid
        is_answered = {
            "audio-stop": self.is_dictating,
            "synthesize": not self.is_streaming,
            "transcribe": not is_valid,
            "audio-chunk": False,
            "synthesize-start": False,
            "unknown": False,
        }.get(kind, True)
        if kind == "audio-stop":
            self.is_dictating = False
        if kind in ("synthesize-start", "synthesize-stop"):
            self.is_streaming = kind == "synthesize-start"
        if is_answered:
            self.pending.append(kind if is_valid else f"wrong {kind}")

    def take(self, event: dict) -> None:
        """The server has sent this event."""
        kind = event["type"]
        self._skip_silent(kind)
        assert self.pending, event
        request = self.pending[0]
        allowed, ends = self._grammar(request)
        assert kind in allowed, (request, self.last, event)
        if kind == "error":
            assert event["code"] != "internal_error", event
        if kind == "pong":
            assert event.get("text", "") == self.pongs.popleft()
        self.last = kind
        if kind in ends:
            self.pending.popleft()
            self.last = ""

    def finish(self) -> None:
        """Every answer has come."""
        self._skip_silent("")
        assert not self.pending, (self.pending, self.last)

    def _skip_silent(self, kind: str) -> None:
        """A piece of a text may be answered by no sound at all, and a whole text without words is."""
        while self.pending and not self.last and self.pending[0] in ("synthesize-chunk", "synthesize"):
            if kind == "audio-start":
                return
            self.pending.popleft()

    def _grammar(self, request: str) -> tuple[set[str], set[str]]:
        """Events that may come now, and those that end this answer."""
        if request.startswith("wrong "):
            return {"error"}, {"error"}
        match request:
            case "describe":
                return {"info"}, {"info"}
            case "ping":
                return {"pong"}, {"pong"}
            case "audio-start":
                return {"transcript-start"}, {"transcript-start"}
            case "audio-stop":
                behind = {
                    "": {"transcript-chunk", "transcript", "error"},
                    "transcript-chunk": {"transcript-chunk", "transcript"},
                    "transcript": {"transcript-stop"},
                }
                return behind[self.last], {"transcript-stop", "error"}
            case "synthesize" | "synthesize-chunk":
                behind = {
                    "": {"audio-start"},
                    "audio-start": {"audio-chunk", "audio-stop", "error"},
                    "audio-chunk": {"audio-chunk", "audio-stop", "error"},
                }
                return behind[self.last], {"audio-stop", "error"}
            case "synthesize-stop":
                behind = {
                    "": {"audio-start", "synthesize-stopped"},
                    "audio-start": {"audio-chunk", "audio-stop", "error"},
                    "audio-chunk": {"audio-chunk", "audio-stop", "error"},
                    "audio-stop": {"audio-start", "synthesize-stopped"},
                    "error": {"synthesize-stopped"},
                }
                return behind[self.last], {"synthesize-stopped"}
            case _:
                assert request == "transcript", request
                return {"handled", "not-handled", "error"}, {"handled", "not-handled", "error"}
