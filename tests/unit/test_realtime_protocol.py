"""OpenAI's Realtime protocol without a socket: what a client sends, and which events it gets for what is shown."""

import base64
import json

import numpy as np
import pytest

from app.domain.audio import AudioChunk, ms
from app.domain.dialog import effects as do
from app.domain.dialog import events as ev
from app.domain.dialog.conversation import Message, Role
from app.domain.errors import BudgetExhausted, ProviderDown
from app.domain.spending import TokenUsage
from app.domain.tools import ToolCall
from app.domain.transcript import Hypothesis
from app.domain.turn_mode import TurnMode
from app.media.g711 import encode_g711
from app.web.realtime.protocol import RealtimeProtocol, Received
from app.web.realtime.session_object import SessionType, new_session

SECOND = base64.b64encode(b"\1\0" * 24_000).decode()
REPLY = AudioChunk(b"\2\0" * ms(100), 0)


def conversation(kind: SessionType = "realtime", **update) -> RealtimeProtocol:
    """A connection whose client wants transcripts, after its `session.update` with these fields."""
    protocol = RealtimeProtocol("s", new_session(kind, "s", None))
    protocol.greeting()
    audio = {"input": {"transcription": {"model": "whisper-1"}, **update.pop("input", {})}}
    sent = send(protocol, "session.update", session={"type": kind, "audio": audio, **update})
    assert types(sent.events) == ["session.updated"], sent
    return protocol


def manual() -> RealtimeProtocol:
    return conversation(input={"turn_detection": None})


def send(protocol: RealtimeProtocol, kind: str, **fields) -> Received:
    return protocol.receive(json.dumps({"type": kind, **fields}))


def types(events: list) -> list[str]:
    return [event["type"] for event in events]


def show(protocol: RealtimeProtocol, *shown: do.Shown) -> list[dict]:
    return [event for each in shown for event in protocol.show(each)]


def refused(received: Received) -> dict:
    [event] = received.events
    assert (event["type"], received.inputs) == ("error", [])
    return event["error"]


def speech(utterance: int = 1, text: str = "hello you", start: int = 0, end: int = ms(1000)) -> tuple[do.Shown, ...]:
    """What the session shows of one utterance."""
    return (
        do.ShowSpeechStarted(1, utterance, start, start + ms(100)),
        do.ShowDraft(1, utterance, text, text.split(maxsplit=1)[0]),
        do.ShowSpeechStopped(1, utterance, end - ms(500), end),
        do.ShowFinal(1, utterance, Hypothesis(text, is_final=True), start, end - ms(500), end),
    )


def reply(turn: int = 1) -> tuple[do.Shown, ...]:
    """What the session shows of one whole reply."""
    return (
        do.ShowReplyStart(turn, "hello you"),
        do.ShowReplyDelta(turn, "Good "),
        do.PlayAudio(turn, REPLY),
        do.ShowReplyDelta(turn, "day."),
        do.ShowReply(turn, "Good day."),
    )


# -- the session ------------------------------------------------------------------------------------


def test_first_event_is_the_session_with_what_it_begins_with():
    """Parley's own turn detection is `semantic_vad`."""
    protocol = RealtimeProtocol("s", new_session("realtime", "s", "gpt-realtime-2.1"))

    greeting = protocol.greeting()

    [created] = greeting.events
    assert (created["type"], created["session"]["model"]) == ("session.created", "gpt-realtime-2.1")
    assert created["session"]["audio"]["input"]["turn_detection"]["type"] == "semantic_vad"
    assert created["session"]["audio"]["output"]["format"] == {"type": "audio/pcm", "rate": 24000}
    [configured] = greeting.inputs
    assert (configured.turns, configured.reply, configured.events) == (TurnMode.AUTO, True, True)


def test_update_changes_what_it_names_and_tells_the_whole():
    """`session.updated` has the effective configuration."""
    protocol = conversation(instructions="Be brief.")
    update = {
        "type": "realtime",
        "audio": {
            "input": {
                "format": {"type": "audio/pcmu"},
                "transcription": {"model": "gpt-transcribe", "language": "de", "keywords": ["Parley"]},
                "turn_detection": {"type": "server_vad", "silence_duration_ms": 700, "create_response": False},
            },
            "output": {"voice": "marin"},
        },
    }

    sent = send(protocol, "session.update", session=update)

    session = sent.events[0]["session"]
    assert session["instructions"] == "Be brief."
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert session["audio"]["output"]["voice"] == "marin"
    [configured] = sent.inputs
    assert (configured.turns, configured.silence_ms, configured.reply) == (TurnMode.SILENCE, 700, False)
    assert (configured.language, configured.key_terms, configured.voice) == ("de", ("Parley",), "")


def test_transcription_session_answers_nothing():
    """And refuses the other type of update with the vendor's sentence."""
    protocol = conversation("transcription")

    assert protocol.greeting().inputs[0].reply is False
    assert refused(send(protocol, "response.create"))["code"] == "invalid_session_type"
    error = refused(send(protocol, "session.update", session={"type": "realtime"}))
    assert error["message"] == "Passing a realtime session update event to a transcription session is not allowed."


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"audio": {"input": {"format": {"type": "audio/mp3"}}}}, "session.audio.input.format.type"),
        ({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 44100}}}}, "session.audio.input.format.rate"),
        ({"audio": {"input": {"format": {"type": "audio/pcmu", "rate": 24000}}}}, "session.audio.input.format.rate"),
        ({"audio": {"input": {"turn_detection": {"type": "magic"}}}}, "session.audio.input.turn_detection.type"),
        ({"audio": {"input": {"transcription": {"language": "xx-x"}}}}, "session.audio.input.transcription.language"),
        ({"audio": 7}, "session.audio"),
        ({"output_modalities": ["audio", "text"]}, "session.output_modalities"),
        ({"instructions": 7}, "session.instructions"),
        ({"max_output_tokens": 0}, "session.max_output_tokens"),
        ({"tools": [{"type": "function", "name": "two words"}]}, "session.tools[0].name"),
    ],
)
def test_wrong_field_of_a_session_is_named_and_changes_nothing(session, param):
    """With the id of the client's event."""
    protocol = conversation()
    before = protocol.session

    error = refused(send(protocol, "session.update", event_id="mine", session=session))

    assert (error["type"], error["param"], error["event_id"]) == ("invalid_request_error", param, "mine")
    assert protocol.session == before


@pytest.mark.parametrize(
    ("frame", "code", "param"),
    [
        ("", "invalid_json", None),
        ("[]", "invalid_type", None),
        ('{"type":"nothing"}', "invalid_value", "type"),
        ("{}", "missing_required_parameter", "type"),
        ('{"type":"input_audio_buffer.append"}', "missing_required_parameter", "audio"),
        ('{"type":"input_audio_buffer.append","audio":"%%%"}', "invalid_value", "audio"),
        ('{"type":"input_audio_buffer.append","audio":"AQ=="}', "invalid_value", "audio"),
        ('{"type":"conversation.item.retrieve","item_id":"none"}', "item_not_found", "item_id"),
        ('{"type":"transcription_session.update"}', "beta_api_shape_disabled", "type"),
        ('{"type":"\ud800"}', "invalid_json", None),
        ('{"type":"session.update","session":{"a":' + "[" * 5000, "invalid_json", None),
    ],
)
def test_event_that_cannot_be_read_is_an_error_and_the_session_goes_on(frame, code, param):
    """Whatever is wrong with it."""
    protocol = conversation()

    error = refused(protocol.receive(frame))

    assert (error["type"], error["code"], error["param"]) == ("invalid_request_error", code, param)
    assert send(protocol, "input_audio_buffer.append", audio=SECOND).inputs


@pytest.mark.parametrize("depth", [60, 900])
def test_a_session_that_is_nested_too_deep_is_refused(depth):
    """In a function's schema, where everything is taken: it could be read, and not be written again."""
    nested = '{"a":' * depth + "1" + "}" * depth
    tools = f'[{{"type":"function","name":"f","parameters":{nested}}}]'
    protocol = conversation()

    for frame in (
        f'{{"type":"session.update","session":{{"truncation":{nested}}}}}',
        f'{{"type":"session.update","session":{{"tools":{tools}}}}}',
        f'{{"type":"response.create","response":{{"tools":{tools}}}}}',
    ):
        error = refused(protocol.receive(frame))
        assert error["code"] in {"invalid_value", "invalid_json"}
        assert "nested" in error["message"]


# -- the user's audio ---------------------------------------------------------------------------------


def test_audio_of_each_format_becomes_16_khz():
    """A second of it is a second."""
    pcm = (8000 * np.sin(np.arange(8000) / 5)).astype("<i2").tobytes()
    for form, data in (
        ({"type": "audio/pcm", "rate": 24000}, b"\1\0" * 24_000),
        ({"type": "audio/pcm", "rate": 16000}, b"\1\0" * 16_000),
        ({"type": "audio/pcmu"}, encode_g711(pcm, "ulaw")),
        ({"type": "audio/pcma"}, encode_g711(pcm, "alaw")),
    ):
        protocol = conversation(input={"format": form})

        received = send(protocol, "input_audio_buffer.append", audio=base64.b64encode(data).decode())

        chunks = [*received.inputs, *protocol.finish()]
        assert sum(chunk.samples for chunk in chunks) == pytest.approx(16_000, abs=2), form


def test_an_utterance_is_an_item_with_its_transcript():
    """Deltas are the words that do not change any more, and never taken back."""
    protocol = conversation()
    send(protocol, "input_audio_buffer.append", audio=SECOND)

    events = show(protocol, *speech())

    assert types(events) == [
        "input_audio_buffer.speech_started",
        "conversation.item.input_audio_transcription.delta",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    ]
    assert len({event.get("item_id") or event["item"]["id"] for event in events}) == 1
    assert [event["delta"] for event in events if "delta" in event] == ["hello", " you"]
    assert (events[0]["audio_start_ms"], events[2]["audio_end_ms"]) == (0, 1000)
    assert (events[-1]["transcript"], events[-1]["usage"]) == ("hello you", {"type": "duration", "seconds": 1.0})


def test_a_draft_that_changes_takes_no_delta_back():
    """`completed` has the right text."""
    protocol = conversation()
    started, _, stopped, final = speech(text="yellow shoe")

    events = show(protocol, started, do.ShowDraft(1, 1, "hello you", "hello"), stopped, final)

    assert [event["delta"] for event in events if "delta" in event] == ["hello"]
    assert events[-1]["transcript"] == "yellow shoe"


def test_without_transcription_no_text_of_the_user_is_sent():
    """OpenAI's default; the item has it all the same."""
    protocol = conversation(input={"transcription": None})

    events = show(protocol, *speech())

    assert not [kind for kind in types(events) if "transcription" in kind]
    item = send(protocol, "conversation.item.retrieve", item_id=events[0]["item_id"]).events[0]["item"]
    assert item["content"] == [{"type": "input_audio", "transcript": "hello you"}]


def test_commit_of_the_client_ends_the_turn_and_is_one_item():
    """Of both utterances before it, with their words in one."""
    protocol = manual()
    send(protocol, "input_audio_buffer.append", audio=SECOND)
    send(protocol, "input_audio_buffer.append", audio=SECOND)

    committed = send(protocol, "input_audio_buffer.commit")
    spoken = show(protocol, *speech(1, "hello"), *speech(2, "you", ms(1000), ms(2000)), do.ShowTurnEnd(1, "hello you"))

    assert types(committed.events) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    assert isinstance(committed.inputs[-1], ev.ClientEnded)
    assert types(spoken) == [
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    ]
    assert (spoken[-1]["transcript"], spoken[-1]["item_id"]) == ("hello you", committed.events[0]["item_id"])


def test_a_commit_has_the_words_of_utterances_that_a_pause_ended_before_it():
    """A client that records a whole request, its silence included, commits once; cleared words are in no commit."""
    protocol = manual()
    send(protocol, "input_audio_buffer.append", audio=SECOND)
    show(protocol, *speech(1, "never mind"))
    send(protocol, "input_audio_buffer.clear")
    send(protocol, "input_audio_buffer.append", audio=SECOND)
    silent = show(protocol, *speech(2, "turn on"), *speech(3, "the light"))
    send(protocol, "input_audio_buffer.commit")
    events = show(protocol, do.ShowTurnEnd(1, "turn on the light"))
    send(protocol, "input_audio_buffer.append", audio=SECOND)
    send(protocol, "input_audio_buffer.commit")
    after = show(protocol, do.ShowTurnEnd(2, ""))

    assert silent == []
    assert events[-1]["transcript"] == "turn on the light"
    assert after[-1]["transcript"] == ""


def test_each_commit_gets_its_transcript_also_without_words():
    """The session tells of each end of a turn that the client has ended."""
    protocol = manual()
    ids = []
    for _ in range(2):
        send(protocol, "input_audio_buffer.append", audio=SECOND)
        ids.append(send(protocol, "input_audio_buffer.commit").events[0]["item_id"])

    first = show(protocol, do.ShowTurnEnd(1, ""))
    second = show(protocol, *speech(1, "hello", ms(1500), ms(2000)), do.ShowTurnEnd(1, "hello"))

    assert [(event["item_id"], event["transcript"]) for event in (first[-1], second[-1])] == [
        (ids[0], ""),
        (ids[1], "hello"),
    ]


def test_a_commit_gets_its_transcript_where_the_server_ends_turns_meanwhile():
    """The client has changed `turn_detection` before the final came."""
    protocol = manual()
    send(protocol, "input_audio_buffer.append", audio=SECOND)
    committed = send(protocol, "input_audio_buffer.commit").events[0]["item_id"]
    send(protocol, "session.update", session={"audio": {"input": {"turn_detection": {"type": "semantic_vad"}}}})

    events = show(protocol, speech(1, "hello")[-1], do.ShowTurnEnd(1, "hello"))

    assert (events[-1]["item_id"], events[-1]["transcript"]) == (committed, "hello")


def test_commit_of_nothing_is_the_vendors_error():
    """Also where everything was committed or cleared before."""
    protocol = manual()
    send(protocol, "input_audio_buffer.append", audio=SECOND)
    cleared = send(protocol, "input_audio_buffer.clear")

    error = refused(send(protocol, "input_audio_buffer.commit"))

    assert types(cleared.events) == ["input_audio_buffer.cleared"]
    assert isinstance(cleared.inputs[-1], ev.ClientCleared)
    assert error["code"] == "input_audio_buffer_commit_empty"
    assert "Expected at least 100ms of audio, but buffer only has 0.00ms of audio." in error["message"]


# -- responses --------------------------------------------------------------------------------------


def test_a_spoken_reply_has_the_vendors_events_in_order():
    """Text and audio as they come; every part is closed before `response.done`."""
    protocol = conversation()

    events = show(protocol, *reply())

    kinds = types(events)
    assert kinds[:5] == [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
    ]
    assert kinds[-6:] == [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    audio = b"".join(base64.b64decode(e["delta"]) for e in events if e["type"] == "response.output_audio.delta")
    assert len(audio) == pytest.approx(2 * 2400, abs=4)
    response = events[-1]["response"]
    assert response["status"] == "completed"
    assert response["output"][0]["content"] == [{"type": "output_audio", "transcript": "Good day."}]
    assert len({event["response_id"] for event in events if "response_id" in event} | {response["id"]}) == 1


def test_a_written_reply_has_events_of_text():
    """`output_modalities: ["text"]`."""
    protocol = conversation(output_modalities=["text"])

    start, *deltas, _, end = [each for each in reply() if not isinstance(each, do.PlayAudio)]
    events = show(protocol, start, *deltas, end)

    assert [e["delta"] for e in events if e["type"] == "response.output_text.delta"] == ["Good "]
    assert "response.output_text.done" in types(events)
    assert not [kind for kind in types(events) if "audio" in kind]


def test_audio_of_a_reply_is_in_the_clients_format():
    """G.711 has one byte for each sample at 8 kHz."""
    protocol = conversation()
    send(protocol, "session.update", session={"audio": {"output": {"format": {"type": "audio/pcma"}}}})

    events = show(protocol, *reply())

    audio = b"".join(base64.b64decode(e["delta"]) for e in events if e["type"] == "response.output_audio.delta")
    assert len(audio) == pytest.approx(800, abs=2)


def test_barge_in_ends_the_response_before_it_tells_of_the_speech():
    """A client stops playing at `speech_started`: it is held back until words show that it is a barge-in."""
    protocol = conversation()
    begun = show(protocol, *reply()[:3])

    waiting = show(protocol, do.ShowSpeechStarted(2, 2, 0, 0), do.ShowDraft(2, 2, "no wait", "no"))
    events = show(protocol, do.ShowReplyCancelled(1, "barge_in", "Good"))

    assert waiting == []
    assert types(events)[-2:] == ["response.done", "input_audio_buffer.speech_started"]
    response = events[-2]["response"]
    assert (response["status"], response["status_details"]) == (
        "cancelled",
        {"type": "cancelled", "reason": "turn_detected"},
    )
    assert response["output"][0]["status"] == "incomplete"
    assert begun[0]["response"]["id"] == response["id"]


def test_a_backchannel_over_a_reply_is_told_of_without_speech_started():
    """So that the client goes on playing."""
    protocol = conversation()
    show(protocol, *reply()[:3])

    events = show(protocol, *speech(2, "mhm yes"))

    assert types(events)[:3] == ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
    assert events[-1]["transcript"] == "mhm yes"


def test_failure_of_a_reply_is_an_error_and_a_failed_response():
    """The error is the session's, in the vendor's shape."""
    protocol = conversation()
    show(protocol, *reply()[:2])

    events = show(protocol, do.ShowError(ProviderDown("ollama", "is away")), do.ShowReplyCancelled(1, "failed"))

    assert types(events)[0] == "error"
    assert events[0]["error"]["code"] == "provider_down"
    response = events[-1]["response"]
    assert response["status"] == "failed"
    assert response["status_details"]["error"] == {"type": "server_error", "code": "provider_down"}


def test_a_response_that_is_asked_for_has_its_metadata():
    """`response.created` and `response.done` repeat it; instructions hold for it alone."""
    protocol = conversation()

    asked = send(protocol, "response.create", response={"instructions": "Sing.", "metadata": {"topic": "x"}})
    [request] = asked.inputs
    events = show(protocol, do.ShowReplyStart(1, "", request.request), *reply()[1:])

    assert (request.instructions, request.speak, asked.events) == ("Sing.", None, [])
    assert [e["response"]["metadata"] for e in (events[0], events[-1])] == [{"topic": "x"}] * 2


def test_one_response_at_a_time():
    """Also where the first one has not begun yet; one that was refused makes room."""
    protocol = conversation()
    [request] = send(protocol, "response.create", event_id="first").inputs

    again = refused(send(protocol, "response.create"))
    [error] = show(protocol, do.ShowError(BudgetExhausted("no money"), request.request))

    assert again["code"] == "conversation_already_has_active_response"
    assert (error["error"]["code"], error["error"]["event_id"]) == ("budget_exhausted", "first")
    assert send(protocol, "response.create").inputs


def test_cancel_without_a_response_is_the_vendors_error():
    """And of another response than the active one; the session goes on."""
    protocol = conversation()
    before = refused(send(protocol, "response.cancel"))
    created = show(protocol, *reply()[:3])[0]["response"]["id"]
    other = refused(send(protocol, "response.cancel", response_id="resp_other"))

    cancelled = send(protocol, "response.cancel", response_id=created)
    events = show(protocol, do.ShowReplyCancelled(1, "cancelled", "Good"))

    assert (before["code"], other["code"]) == ("response_cancel_not_active", "response_cancel_not_active")
    assert cancelled.inputs == [ev.ClientCancelled()]
    assert events[-1]["response"]["status_details"]["reason"] == "client_cancelled"


# -- items --------------------------------------------------------------------------------------------


def message(text: str, role: str = "user", **fields) -> dict:
    return {"type": "message", "role": role, "content": [{"type": "input_text", "text": text}], **fields}


def test_items_of_the_client_join_the_history():
    """At the end as one more message; elsewhere as the whole, in the client's order."""
    protocol = conversation()

    last = send(protocol, "conversation.item.create", item=message("second", id="b"))
    first = send(protocol, "conversation.item.create", item=message("first", id="a"), previous_item_id="root")

    assert types(last.events) == ["conversation.item.added", "conversation.item.done"]
    assert last.inputs == [ev.ClientAddedMessage(Message(Role.USER, "second"))]
    assert first.events[0]["previous_item_id"] is None
    assert first.inputs == [
        ev.ClientReplacedHistory((Message(Role.USER, "first"), Message(Role.USER, "second"))),
    ]


def test_a_deleted_item_leaves_the_history():
    """And cannot be retrieved."""
    protocol = conversation()
    send(protocol, "conversation.item.create", item=message("first", id="a"))
    send(protocol, "conversation.item.create", item=message("second", id="b"))

    deleted = send(protocol, "conversation.item.delete", item_id="a")

    assert types(deleted.events) == ["conversation.item.deleted"]
    assert deleted.inputs == [ev.ClientReplacedHistory((Message(Role.USER, "second"),))]
    assert refused(send(protocol, "conversation.item.retrieve", item_id="a"))["code"] == "item_not_found"


def test_an_item_that_goes_on_is_not_deleted():
    """It would be missing from its response."""
    protocol = conversation()
    item_id = show(protocol, *reply()[:3])[1]["item"]["id"]

    assert refused(send(protocol, "conversation.item.delete", item_id=item_id))["code"] == "item_in_progress"


def test_a_function_call_is_an_item_and_its_output_joins_the_history():
    """A call without an output is not shown to the model."""
    protocol = conversation(tools=[{"type": "function", "name": "dial", "parameters": {"type": "object"}}])
    start, _, _, _, end = reply()
    events = show(protocol, start, do.ShowToolCall(1, ToolCall("c1", "dial", '{"n": 1}')), end)
    before = send(protocol, "conversation.item.create", item=message("and?"))

    output = {"type": "function_call_output", "call_id": "c1", "output": "done"}
    created = send(protocol, "conversation.item.create", item=output)

    assert types(events)[1:-1] == [
        "response.output_item.added",
        "conversation.item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "conversation.item.done",
    ]
    assert (events[4]["name"], events[4]["arguments"], events[4]["call_id"]) == ("dial", '{"n": 1}', "c1")
    assert events[-1]["response"]["output"][0]["type"] == "function_call"
    assert before.inputs == [ev.ClientAddedMessage(Message(Role.USER, "and?"))]
    [history] = created.inputs
    assert history.messages[0].tool_calls == (ToolCall("c1", "dial", '{"n": 1}', "done"),)


def test_functions_of_the_session_and_of_one_response():
    """`tool_choice: "none"` offers none."""
    dial = {"type": "function", "name": "dial", "description": "Dials."}
    protocol = conversation(tools=[dial])

    [configured] = send(protocol, "session.update", session={"instructions": "x"}).inputs
    [asked] = send(protocol, "response.create", response={"tool_choice": "none"}).inputs

    assert [(tool.name, tool.description, tool.url) for tool in configured.tools] == [("dial", "Dials.", "")]
    assert asked.tools == ()


def test_a_response_out_of_band_leaves_the_conversation_alone():
    """Its items have events of the response, and none of the conversation."""
    protocol = conversation()
    send(protocol, "conversation.item.create", item=message("first", id="a"))
    given = [{"type": "item_reference", "id": "a"}, message("Classify it.")]

    [request] = send(protocol, "response.create", response={"conversation": "none", "input": given}).inputs
    events = show(protocol, do.ShowReplyStart(1, "", request.request), *reply()[1:])

    assert request.conversation == (Message(Role.USER, "first"), Message(Role.USER, "Classify it."))
    assert not request.is_kept
    assert not [kind for kind in types(events) if kind.startswith("conversation.")]
    assert "conversation_id" not in events[0]["response"]
    assert len(protocol.items.items) == 1


def test_usage_is_what_the_engines_counted():
    """With the details that clients insist on."""
    protocol = conversation()

    events = show(protocol, *reply()[:-1], do.ShowReply(1, "Good day.", TokenUsage(10, 2)))

    usage = events[-1]["response"]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (10, 2, 12)
    assert usage["output_token_details"] == {"text_tokens": 2, "audio_tokens": 0}


@pytest.mark.parametrize(
    ("item", "fields", "code"),
    [
        (message("x", id="a"), {}, "item_exists"),
        (message("x", id="item_s_99"), {}, "item_exists"),
        (message("x"), {"previous_item_id": "none"}, "item_not_found"),
        (message(""), {}, "invalid_value"),
        (
            {"type": "message", "role": "user", "content": [{"type": "input_audio", "audio": "AAAA"}]},
            {},
            "invalid_value",
        ),
        ({"type": "message", "role": "nobody", "content": []}, {}, "invalid_value"),
        ({"type": "mcp_call"}, {}, "invalid_value"),
    ],
)
def test_an_item_that_cannot_be_made_is_an_error(item, fields, code):
    """Nothing is added."""
    protocol = conversation()
    send(protocol, "conversation.item.create", item=message("first", id="a"))

    error = refused(send(protocol, "conversation.item.create", item=item, **fields))

    assert error["code"] == code
    assert len(protocol.items.items) == 1


def test_truncate_cuts_the_history_where_the_client_stopped_playing():
    """Half of the audio is half of the words; a little beyond its end is its end."""
    protocol = conversation()
    item_id = show(protocol, *reply())[1]["item"]["id"]

    beyond = send(protocol, "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=300)
    half = send(protocol, "conversation.item.truncate", item_id=item_id, content_index=0, audio_end_ms=50)

    assert beyond.events[0]["audio_end_ms"] == 100
    assert beyond.inputs[-1].messages == (Message(Role.ASSISTANT, "Good day."),)
    assert half.inputs == [
        ev.ClientPlayed(1, ms(50)),
        ev.ClientCancelled(),
        ev.ClientReplacedHistory((Message(Role.ASSISTANT, "Good", is_cut_off=True),)),
    ]


@pytest.mark.parametrize(
    ("fields", "param"), [({"audio_end_ms": 9000}, "audio_end_ms"), ({"content_index": 1}, "content_index")]
)
def test_truncate_far_beyond_the_audio_is_an_error(fields, param):
    """So is a part that there is not."""
    protocol = conversation()
    item_id = show(protocol, *reply())[1]["item"]["id"]

    error = refused(
        send(
            protocol,
            "conversation.item.truncate",
            **{"item_id": item_id, "content_index": 0, "audio_end_ms": 50, **fields},
        )
    )

    assert error["param"] == param
