"""The user's speech as items: from `speech_started` to the transcript, for each utterance or for each commit.

Where the server ends turns, each utterance is an item. Where the client does, each commit is one, and has the words of
all utterances that began before it.

A client of OpenAI's stops playing at `speech_started`. Over a reply it is therefore held back until words show that
it is a barge-in; a backchannel is told of without it.
"""

from dataclasses import dataclass, field

from app.domain.audio import SAMPLE_RATE, seconds
from app.domain.dialog import effects as do
from app.domain.transcript import join
from app.web.realtime.items import Item, Items
from app.web.realtime.response import Event, added, done


@dataclass(slots=True)
class SpokenItem:
    """An utterance, or a commit, on its way to an item."""

    item: Item
    start: int = 0
    """First sample of an utterance."""
    before: int = 0
    """Of a commit: how many samples came before it."""
    shown_text: str = ""
    """What the deltas have told of it."""
    texts: list[str] = field(default_factory=list)
    """Of a commit: its finals."""
    samples: int = 0
    end: int | None = None
    """Behind the last sample of an utterance; None: it goes on."""
    is_held_back: bool = False
    """It may be a backchannel: nothing of it has been shown."""
    is_committed: bool = False


@dataclass(slots=True)
class SpokenItems:
    """The user's speech of one session."""

    items: Items
    has_transcripts: bool = False
    """The client wants the texts."""
    is_manual: bool = False
    utterances: dict[int, SpokenItem] = field(default_factory=dict)
    """Whose finals are pending, by number."""
    commits: list[SpokenItem] = field(default_factory=list)
    """Whose texts are not complete, in order."""
    _uncommitted: list[str] = field(default_factory=list)
    """Finals of utterances that a silence ended before the client's commit."""
    _unsettled: list[Item] = field(default_factory=list)
    """Of the current turn."""

    # -- where the client ends turns -------------------------------------------

    def commit(self, item_id: str, position: int, samples: int) -> list[Event]:
        """The client has committed these newest samples."""
        commit = SpokenItem(_new(item_id), before=position, samples=samples, texts=self._uncommitted)
        self._uncommitted = []
        self.commits.append(commit)
        return self._commit(commit)

    def clear(self) -> None:
        """The client takes back what was said and not committed."""
        self.utterances = {number: each for number, each in self.utterances.items() if each.is_committed}
        self._uncommitted = []

    # -- what the session shows -------------------------------------------------

    def started(self, shown: do.ShowSpeechStarted, item_id: str, *, over_reply: bool) -> list[Event]:
        if self.is_manual:
            return []
        spoken = SpokenItem(_new(item_id), shown.start, is_held_back=over_reply)
        self.utterances[shown.utterance] = spoken
        return [] if over_reply else [_started(spoken)]

    def release(self) -> list[Event]:
        """What is held back is no backchannel: tell of it now."""
        held = [each for each in self.utterances.values() if each.is_held_back]
        events: list[Event] = []
        for spoken in held:
            spoken.is_held_back = False
            events += [_started(spoken), *self._stopped(spoken)]
        return events

    def drafted(self, shown: do.ShowDraft) -> list[Event]:
        """The words that the drafts agree on, as far as they are new: deltas are never taken back."""
        spoken = self.utterances.get(shown.utterance)
        if spoken is None or spoken.is_held_back or not self.has_transcripts:
            return []
        return self._delta(spoken, shown.stable)

    def stopped(self, shown: do.ShowSpeechStopped) -> list[Event]:
        spoken = self.utterances.get(shown.utterance)
        if spoken is None:
            return []
        spoken.end, spoken.samples = shown.end, shown.end - spoken.start
        return [] if spoken.is_held_back else self._stopped(spoken)

    def final(self, shown: do.ShowFinal) -> list[Event]:
        text = shown.hypothesis.text
        spoken = self.utterances.pop(shown.utterance, None)
        if spoken is None:
            commit = next((each for each in self.commits if shown.start < each.before), None)
            if commit is not None:
                commit.texts.append(text)
            elif self.is_manual and text:
                self._uncommitted.append(text)
        if spoken is None or (spoken.is_held_back and not text):
            return []
        events = [] if spoken.is_committed else self._commit(spoken)
        return [*events, *self._transcribed(spoken, text)]

    def turn_ended(self) -> list[Event]:
        """Its items are in the history now; where the client ended it, its text is complete."""
        events: list[Event] = []
        if self.commits:
            events += self._finish_commit()
            while self.commits and self.commits[0].texts:  # two commits whose words came together
                events += self._finish_commit()
        for item in self._unsettled:
            item.is_settled = True
        self._unsettled.clear()
        return events

    # -- events ------------------------------------------------------------------

    def _stopped(self, spoken: SpokenItem) -> list[Event]:
        if spoken.end is None:
            return []
        end_ms = _ms(spoken.end)
        stopped = {"type": "input_audio_buffer.speech_stopped", "item_id": spoken.item.id, "audio_end_ms": end_ms}
        return [stopped, *self._commit(spoken)]

    def _commit(self, spoken: SpokenItem) -> list[Event]:
        spoken.is_committed = True
        self.items.add(spoken.item)
        previous = self.items.previous_of(spoken.item)
        self._unsettled.append(spoken.item)
        committed = {"type": "input_audio_buffer.committed", "item_id": spoken.item.id, "previous_item_id": previous}
        return [committed, added(self.items, spoken.item), done(self.items, spoken.item)]

    def _finish_commit(self) -> list[Event]:
        commit = self.commits.pop(0)
        return self._transcribed(commit, join(commit.texts))

    def _transcribed(self, spoken: SpokenItem, text: str) -> list[Event]:
        spoken.item.said = text
        spoken.item.content[0]["transcript"] = text
        if not self.has_transcripts:
            return []
        completed = {
            "type": f"{_TRANSCRIPTION}.completed",
            "item_id": spoken.item.id,
            "content_index": 0,
            "transcript": text,
            "usage": {"type": "duration", "seconds": round(spoken.samples / SAMPLE_RATE, 3)},
        }
        return [*self._delta(spoken, text), completed]

    def _delta(self, spoken: SpokenItem, text: str) -> list[Event]:
        if not text.startswith(spoken.shown_text) or text == spoken.shown_text:
            return []  # what was told is not taken back; `completed` has the whole text
        delta, spoken.shown_text = text[len(spoken.shown_text) :], text
        return [{"type": f"{_TRANSCRIPTION}.delta", "item_id": spoken.item.id, "content_index": 0, "delta": delta}]


_TRANSCRIPTION = "conversation.item.input_audio_transcription"


def _new(item_id: str) -> Item:
    return Item(
        item_id, "message", role="user", content=[{"type": "input_audio", "transcript": None}], is_settled=False
    )


def _started(spoken: SpokenItem) -> Event:
    start_ms = _ms(spoken.start)
    return {"type": "input_audio_buffer.speech_started", "item_id": spoken.item.id, "audio_start_ms": start_ms}


def _ms(samples: int) -> int:
    return round(seconds(samples) * 1000)
