"""`/v1/listen`, Flux, `/v1/speak` and files with `deepgram-sdk`: host, key, audio file."""

import json
import sys
import threading
import time
from pathlib import Path

from deepgram import DeepgramClient
from deepgram.core.api_error import ApiError
from deepgram.core.events import EventType
from deepgram.environment import DeepgramClientEnvironment
from deepgram.speak.v1.types import SpeakV1Text
from websockets.exceptions import InvalidStatus

host, key, file = sys.argv[1:]
environment = DeepgramClientEnvironment(
    base=f"http://{host}", production=f"ws://{host}", agent=f"ws://{host}", agent_rest=f"http://{host}"
)
client = DeepgramClient(api_key=key, environment=environment)
SPEECH, SILENCE = b"\1\0" * 480, bytes(960)
"""30 ms at 16 kHz."""


def plain(message):
    if isinstance(message, bytes):
        return {"bytes": len(message)}
    return message if isinstance(message, dict) else json.loads(message.json())


class Talk:
    """What one socket got, and waiting for it."""

    def __init__(self, socket):
        self.messages, self.failures, self.news = [], [], threading.Condition()
        socket.on(EventType.MESSAGE, self.take)
        socket.on(EventType.ERROR, lambda error: self.failures.append(repr(error)))
        self.thread = threading.Thread(target=socket.start_listening, daemon=True)
        self.thread.start()

    def take(self, message):
        with self.news:
            self.messages.append(plain(message))
            self.news.notify_all()

    def wait(self, is_there):
        with self.news:
            assert self.news.wait_for(lambda: any(map(is_there, self.messages)), 20), self.messages

    def end(self):
        self.thread.join(20)
        assert not self.thread.is_alive()
        return {"messages": self.messages, "failures": self.failures}


def say(socket):
    for _ in range(30):
        socket.send_media(SPEECH)


def pause(socket, chunks=60, pace_s=0.0):
    for _ in range(chunks):
        socket.send_media(SILENCE)
        time.sleep(pace_s)


def listen():
    with client.listen.v1.connect(
        model="nova-3",
        encoding="linear16",
        sample_rate=16000,
        interim_results=True,
        vad_events=True,
        utterance_end_ms=1000,
        keyterm=["Siobhan", "Parley"],
        language="en-US",
    ) as socket:
        talk = Talk(socket)
        socket.send_keep_alive()
        say(socket)
        pause(socket)
        talk.wait(lambda m: m["type"] == "UtteranceEnd")
        say(socket)
        socket.send_finalize()
        talk.wait(lambda m: m.get("from_finalize"))
        socket.send_finalize()
        talk.wait(lambda m: m.get("from_finalize") and not m["channel"]["alternatives"][0]["transcript"])
        say(socket)
        socket.send_close_stream()
        return talk.end()


def flux():
    with client.listen.v2.connect(
        model="flux-general-en", encoding="linear16", sample_rate=16000, eager_eot_threshold=0.4, eot_threshold=0.7
    ) as socket:
        talk = Talk(socket)
        talk.wait(lambda m: m["type"] == "Connected")
        say(socket)
        pause(socket, 120, 0.03)  # in real time, so that the final comes before the silence is over
        talk.wait(lambda m: m.get("event") == "EndOfTurn")
        socket.send_configure({"type": "Configure", "thresholds": {"eot_threshold": 0.8}, "keyterms": ["Siobhan"]})
        talk.wait(lambda m: m["type"] == "ConfigureSuccess")
        say(socket)
        socket.send_force_end_turn()
        talk.wait(lambda m: m.get("trigger") == "manual")
        socket.send_close_stream()
        return talk.end()


def speak():
    with client.speak.v1.connect(model="aura-2-thalia-en", encoding="linear16", sample_rate=24000) as socket:
        talk = Talk(socket)
        for word in ("One. ", "Two", "."):
            socket.send_text(SpeakV1Text(type="Speak", text=word))
        socket.send_flush()
        talk.wait(lambda m: m.get("type") == "Flushed")
        socket.send_flush()
        talk.wait(lambda m: m.get("type") == "Flushed" and m["sequence_id"] == 1)
        socket.send_clear()
        talk.wait(lambda m: m.get("type") == "Cleared")
        socket.send_close()
        return talk.end()


def refusal(call):
    try:
        call()
    except ApiError as error:
        return [error.status_code, (error.headers or {}).get("dg-error", "")]
    except InvalidStatus as error:  # of the handshake of a socket
        return [error.response.status_code, error.response.headers.get("dg-error", "")]
    return None


def connected(**options):
    with client.listen.v1.connect(**{"model": "nova-3", **options}):
        pass


stranger = DeepgramClient(api_key="wrong", environment=environment)


def strange():
    with stranger.listen.v1.connect(model="nova-3"):
        pass


sound = Path(file).read_bytes()
result = {
    "listen": listen(),
    "flux": flux(),
    "speak": speak(),
    "file": plain(client.listen.v1.media.transcribe_file(request=sound, model="nova-3", utterances=True)),
    "speech": len(b"".join(client.speak.v1.audio.generate(text="One.", encoding="linear16", container="none"))),
    "refused": {
        "key": refusal(strange),
        "encoding": refusal(lambda: connected(encoding="opus")),
        "language": refusal(lambda: connected(language="xx")),
        "no audio": refusal(lambda: client.listen.v1.media.transcribe_file(request=b"none", model="nova-3")),
        "link": refusal(lambda: client.listen.v1.media.transcribe_url(url="http://127.0.0.1/x.wav", model="nova-3")),
    },
}
json.dump(result, sys.stdout)
