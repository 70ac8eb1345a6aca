"""A WebSocket server of RealtimeSTT's packets and messages: metadata and PCM16 in, `realtime` and `final` out."""

import json
from collections.abc import Callable
from typing import Any, Protocol

from websockets.sync.server import ServerConnection, serve


class Recognizing(Protocol):
    """One session at the library."""

    def feed(self, pcm: bytes) -> None:
        """16 kHz mono s16le."""
        ...

    def close(self) -> None: ...


Tell = Callable[[str, str, Any], None]
"""Sends a text: `realtime` or `final`, the text, and the utterance it is of."""


def run(open_session: Callable[[Tell], Recognizing], port: int) -> None:
    """Serve until the process is stopped; each connection has a thread."""

    def handle(socket: ServerConnection) -> None:
        def tell(kind: str, text: str, utterance: Any) -> None:
            socket.send(json.dumps({"type": kind, "text": text, "segmentId": utterance}))

        session = open_session(tell)
        socket.send(json.dumps({"type": "ready"}))
        try:
            for message in socket:
                if isinstance(message, bytes):
                    session.feed(message[4 + int.from_bytes(message[:4], "little") :])
                elif json.loads(message).get("type") == "stop":
                    break
        finally:
            session.close()

    with serve(handle, "127.0.0.1", port, compression=None) as server:
        print(f"listening on {port}", flush=True)
        server.serve_forever()
