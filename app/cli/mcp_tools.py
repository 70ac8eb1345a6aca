"""The tools of `parley mcp`: a running server's HTTP API, as the Model Context Protocol offers it to an agent.

Each call goes to the server with a key, so that tenants, scopes, limits and budgets hold as for any other client: over
HTTP the caller's own key, over standard input and output that of the command.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from mcp.server import MCPServer
from mcp.server.mcpserver import Audio, Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from app.cli.server_request import decoded, fetch
from app.domain.audio import seconds
from app.domain.errors import ParleyError

TIMEOUT_S = 600.0
"""For a transcription, and for speech."""
MAX_FILE_BYTES = 25_000_000
MAX_SPOKEN_CHARACTERS = 4000

_HINTS = {401: "the server wants an API key: PARLEY_KEY, or the header Authorization over HTTP"}
_INSTRUCTIONS = (
    "Parley transcribes speech, keeps recordings and conversations, and speaks. Identifiers come from the lists; "
    "times are in seconds."
)

Limit = Annotated[int, Field(ge=1, le=200)]
Text = Annotated[str, Field(description='Words, "quoted phrases" and prefixes* that must all occur; empty: any.')]
Page = Annotated[str, Field(description="`next` of the page before; empty: the first page.")]
Identifier = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{1,64}$")]


@dataclass(frozen=True, slots=True)
class ParleyTools:
    """What an agent can do at one server."""

    url: str
    key: str | None = None
    """Of the command; None: the key is the caller's."""
    folder: Path | None = None
    """The only one whose files may be transcribed; None: no file may."""

    def server(self, version: str) -> MCPServer:
        """The MCP server of these tools."""
        server = MCPServer("parley", instructions=_INSTRUCTIONS, version=version, log_level="WARNING")
        tools: list[Callable[..., Any]] = [
            self.list_recordings,
            self.read_recording,
            self.list_conversations,
            self.read_conversation,
            self.speak,
        ]
        for tool in [self.transcribe, *tools] if self.folder else tools:
            server.tool(structured_output=False if tool == self.speak else None)(tool)
        return server

    def transcribe(self, context: Context[Any, Any], file: str, language: str = "") -> dict[str, Any]:
        """Transcribe an audio or video file. `file`: its path in the server's folder; `language`: such as "de"."""
        path = self._file(file)
        form = {"model": "whisper-1", "response_format": "verbose_json", **({"language": language} if language else {})}
        with path.open("rb") as audio:
            answer = self._fetch(
                context,
                "POST",
                "/v1/audio/transcriptions",
                data=form,
                files={"file": (path.name, audio)},
                timeout=TIMEOUT_S,
            )
        transcript = decoded(self.url, answer)
        segments = [{name: each[name] for name in ("start", "end", "text")} for each in transcript["segments"]]
        return {"text": transcript["text"], "language": transcript["language"], "segments": segments}

    def list_recordings(  # one parameter for each filter
        self,
        context: Context[Any, Any],
        text: Text = "",
        since: str = "",
        until: str = "",
        person: str = "",
        before: Page = "",
        limit: Limit = 20,
    ) -> dict[str, Any]:
        """Recordings, the newest first, with what was said searched. `since` and `until`: days, such as 2026-01-31."""
        filters = {"text": text, "since": since, "until": until, "person": person, "before": before}
        return self._list(context, "/recordings", filters, limit)

    def read_recording(self, context: Context[Any, Any], id: Identifier) -> dict[str, Any]:  # noqa: A002 because clients see it
        """What was said in one recording: each final with its start and end, in its order."""
        manifest = self._ask(context, f"/recordings/{id}/manifest", {})
        finals = [
            {"start": round(seconds(start), 2), "end": round(seconds(end), 2), "text": final["text"]}
            for final in manifest["finals"]
            if final["text"]
            for start, end in [final["speech"] or (final["start"], final["end"])]
        ]
        return {"id": id, "started": manifest["started"], "ended": manifest["ended"], "finals": finals}

    def list_conversations(
        self, context: Context[Any, Any], text: Text = "", person: str = "", before: Page = "", limit: Limit = 20
    ) -> dict[str, Any]:
        """Conversations, the one with the newest message first, with what was said and written searched."""
        filters = {"text": text, "person": person, "before": before}
        return self._list(context, "/conversations", filters, limit)

    def read_conversation(self, context: Context[Any, Any], id: Identifier) -> str:  # noqa: A002 because clients see it
        """A whole conversation, as Markdown."""
        return self._fetch(
            context, "GET", f"/conversations/{id}/export", params={"format": "md"}, timeout=TIMEOUT_S
        ).decode()

    def speak(
        self,
        context: Context[Any, Any],
        text: Annotated[str, Field(min_length=1, max_length=MAX_SPOKEN_CHARACTERS)],
        voice: str = "default",
        format: Literal["mp3", "wav", "flac", "opus"] = "mp3",  # noqa: A002 because clients see it
    ) -> Audio:
        """Speak a text; the answer is audio."""
        order = {"model": "tts-1", "input": text, "voice": voice, "response_format": format}
        return Audio(
            data=self._fetch(context, "POST", "/v1/audio/speech", json=order, timeout=TIMEOUT_S), format=format
        )

    def _file(self, name: str) -> Path:
        """A file in the folder, also where a link leads elsewhere. Raises ToolError."""
        assert self.folder is not None  # the tool exists only with one
        folder = self.folder.resolve()
        path = folder if "\0" in name else (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise ToolError(f"there is no file {name!r} in the folder that this server may read")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise ToolError(f"{name!r} has more than {MAX_FILE_BYTES // 1_000_000} MB; upload it as a recording")
        return path

    def _list(self, context: Context[Any, Any], path: str, filters: dict[str, str], limit: int) -> dict[str, Any]:
        query = {name: value for name, value in filters.items() if value}
        answer: dict[str, Any] = self._ask(context, path, {**query, "limit": str(limit)})
        return answer

    def _ask(self, context: Context[Any, Any], path: str, query: dict[str, str]) -> Any:
        return decoded(self.url, self._fetch(context, "GET", path, params=query))

    def _fetch(self, context: Context[Any, Any], method: str, path: str, **request: Any) -> bytes:
        try:
            return fetch(method, self.url, path, self._key(context), _HINTS, **request)
        except ParleyError as error:
            raise ToolError(str(error)) from error

    def _key(self, context: Context[Any, Any]) -> str | None:
        """Over HTTP the caller's, never that of the command, which would be lent to everybody."""
        headers = context.headers
        if headers is None:
            return self.key
        scheme, _, credential = headers.get("authorization", "").partition(" ")
        return credential.strip() if scheme.lower() == "bearer" and credential.strip() else None
