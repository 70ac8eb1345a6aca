"""One pass of Whisper: encode, decode, and see where each word was."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import ctranslate2
import numpy as np
from faster_whisper.tokenizer import Tokenizer

from providers.local.asr.hallucination import DecodeEvidence, loop_start, restarts_at
from providers.local.asr.transformer.decoder import GreedyDecoder
from providers.local.asr.transformer.speculation import DraftSpeculation
from providers.local.asr.whisper_model import WhisperModel
from providers.local.mel import HOP, Mel

Encoded: TypeAlias = Any
"""A CTranslate2 StorageView: what the encoder made of some sounds."""

COLUMNS_A_SECOND = 16_000 // HOP

_ANSWER = 224
"""Tokens an answer may have, its prefix included. CTranslate2 never ends where the prefix alone is longer."""

_TOKENS_A_SECOND = 6
_AT_FIRST = 4
"""Tokens a second in the first half of a pass; few people speak faster, and a loop is stopped there."""


_OFTEN = 3
_NEW = 10
_MORE = 20
"""Tokens a draft adds to words that are known, at first and at most more: the next draft goes on."""


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """What to decode and how."""

    power: Mel
    """Log-power columns of the sound, as MelFilters gives them."""

    language: str | None = None
    """Two letters; None lets a model of many languages find out."""

    said: str = ""
    """Words already known to be said: decoding goes on behind them."""

    guess: str = ""
    """Words that were probably said: where they were, decoding is faster, and where not, they change nothing."""

    prompt: tuple[int, ...] = ()
    """Tokens that came before, or names to expect."""

    beam_size: int = 1
    careful: bool = True
    """Try again with more context where the text looks broken."""

    timed: bool = False
    """Find when each word was said."""

    @property
    def seconds(self) -> float:
        return float(self.power.shape[1]) / COLUMNS_A_SECOND


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """An ask in the tokens of its language."""

    ask: DecodeRequest
    tokenizer: Tokenizer
    prefix: tuple[int, ...]

    @property
    def start(self) -> list[int]:
        """The tokens before the answer."""
        before = [self.tokenizer.sot_prev, *self.ask.prompt] if self.ask.prompt else []
        return [*before, *self.tokenizer.sot_sequence, self.tokenizer.no_timestamps, *self.prefix]


@dataclass(frozen=True, slots=True)
class DecodePass:
    """What the decoder wrote, and how sure it was."""

    tokens: tuple[int, ...]
    evidence: DecodeEvidence


@dataclass(frozen=True, slots=True)
class TimedWord:
    """A word with its leading space, and when it was said: seconds into the sound."""

    text: str
    start: float
    end: float
    probability: float


def asked_in_its_language(model: WhisperModel, ask: DecodeRequest, encoded: Encoded) -> PreparedRequest:
    """The ask, with the language found in the sound where it names none."""
    language = ask.language
    if language is None and model.multilingual:
        best, _ = model.weights.detect_language(encoded)[0][0]
        language = best.strip("<|>")
    tokenizer = model.tokenizer(language)
    prefix = tokenizer.encode(" " + ask.said.strip()) if ask.said.strip() else []
    return PreparedRequest(ask, tokenizer, tuple(prefix[-_ANSWER // 2 :]))


def encode(model: WhisperModel, mels: Sequence[Mel]) -> Encoded:
    features = np.ascontiguousarray(np.stack(mels))
    if model.encoder is not None:
        return ctranslate2.StorageView.from_array(model.encoder(features))
    return model.weights.encode(ctranslate2.StorageView.from_array(features))


def rows(model: WhisperModel, encoded: Encoded) -> list[Encoded]:
    """Each sound's own part of what was encoded together."""
    here = encoded.to_device(ctranslate2.Device.cpu) if model.device == "cuda" else encoded
    together = np.array(here)
    return [ctranslate2.StorageView.from_array(np.ascontiguousarray(row[None])) for row in together]


def generate(model: WhisperModel, encoded: Encoded, asked: Sequence[PreparedRequest]) -> list[DecodePass]:
    """Decode as many tokens as the sound can hold; a greedy pass over one sound stops early in a loop."""
    seconds = max(one.ask.seconds for one in asked)
    prefix = max(len(one.prefix) for one in asked)
    budget = min(_ANSWER - prefix, int(12 + seconds * _TOKENS_A_SECOND))
    greedy = len(asked) == 1 and asked[0].ask.beam_size == 1
    hasty = not any(one.ask.careful for one in asked)
    first = min(budget, _at_first(seconds, hasty=hasty, known=prefix > 0)) if greedy else budget
    if hasty:
        budget = min(budget, first + _MORE)
    write = _writer(model, encoded, asked[0]) if greedy and model.decoder else _ctranslate2(model, encoded, asked)
    passes = write(prefix + first)
    if first < budget and _goes_on(passes[0], prefix + first, hasty=hasty):
        passes = write(prefix + budget)
    return passes


def _at_first(seconds: float, *, hasty: bool, known: bool) -> int:
    """Tokens after which a greedy pass is looked at, because a loop costs as much as true words."""
    if hasty:
        return _NEW if known else int(4 + seconds * _OFTEN)
    return int(8 + seconds * _AT_FIRST)


def _goes_on(heard: DecodePass, limit: int, *, hasty: bool) -> bool:
    words = heard.evidence.text.split()
    looped = loop_start(words) is not None or (hasty and restarts_at(words) is not None)
    return len(heard.tokens) >= limit and not looped


_Write: TypeAlias = Callable[[int], list[DecodePass]]
"""Writes until the texts have so many tokens, their prefixes included; asked again, it goes on."""


def _writer(model: WhisperModel, encoded: Encoded, asked: PreparedRequest) -> _Write:
    """The decoder that may be given a guess."""
    assert model.decoder is not None
    tokenizer, start = asked.tokenizer, asked.start
    guess = DraftSpeculation(tokenizer.encode(" " + asked.ask.guess.strip()) if asked.ask.guess.strip() else ())
    guess.learn(asked.prefix, 0)
    text = GreedyDecoder(
        model.decoder,
        model.decoder.listen(np.array(encoded)),
        start,
        prefix=len(asked.prefix),
        end=tokenizer.eot,
        silence=(start.index(tokenizer.sot), tokenizer.no_speech),
        guess=guess,
    )

    def write(tokens: int) -> list[DecodePass]:
        text.write(tokens)
        return [_pass(asked, text.tokens, text.log_probability, text.no_speech, tokens)]

    return write


def _ctranslate2(model: WhisperModel, encoded: Encoded, asked: Sequence[PreparedRequest]) -> _Write:
    beam = max(one.ask.beam_size for one in asked)
    begun = list(asked)

    def write(tokens: int) -> list[DecodePass]:
        # Doubled, because CTranslate2 gives the answer half of max_length and the prompt the other half.
        results = model.weights.generate(
            encoded,
            [one.start for one in begun],
            beam_size=beam,
            max_length=2 * min(_ANSWER, tokens),
            return_scores=True,
            return_no_speech_prob=True,
        )
        passes = [
            _pass(
                one,
                tuple(found := result.sequences_ids[0]),
                result.scores[0] if found else 0.0,
                result.no_speech_prob,
                tokens,
            )
            for one, result in zip(begun, results, strict=True)
        ]
        # The tokens so far are the prefix of the rest: nothing is decoded twice.
        begun[:] = [replace(one, prefix=heard.tokens) for one, heard in zip(begun, passes, strict=True)]
        return passes

    return write


def _pass(asked: PreparedRequest, tokens: tuple[int, ...], sure: float, no_speech: float, most: int) -> DecodePass:
    ran_on = asked.ask.careful and len(tokens) >= min(_ANSWER, most)
    text = asked.tokenizer.decode(list(tokens)).strip()
    return DecodePass(tokens, DecodeEvidence(text, asked.ask.seconds, sure, no_speech, ran_on))


def align(
    model: WhisperModel, asked: PreparedRequest, encoded: Encoded, tokens: Sequence[int]
) -> tuple[TimedWord, ...]:
    """When each word was said, from where the decoder looked while it wrote it."""
    text = [token for token in tokens if token < asked.tokenizer.eot]
    if not text:
        return ()
    found = model.weights.align(encoded, asked.tokenizer.sot_sequence, [text], asked.ask.power.shape[1])[0]
    pieces, piece_tokens = asked.tokenizer.split_to_word_tokens([*text, asked.tokenizer.eot])
    edges = np.concatenate(([0], np.cumsum([len(one) for one in piece_tokens[:-1]])))
    steps = np.array(found.alignments)
    times = steps[np.concatenate(([True], np.diff(steps[:, 0]) > 0)), 1] * (2 / COLUMNS_A_SECOND)
    words: list[TimedWord] = []
    for piece, first, last in zip(pieces, edges[:-1], edges[1:], strict=False):
        start, end = (float(times[min(edge, len(times) - 1)]) for edge in (first, last))
        if words and not piece.startswith(" "):
            before = words[-1]
            end = end if any(sign.isalnum() for sign in piece) else before.end
            words[-1] = TimedWord(before.text + piece, before.start, end, before.probability)
        else:
            words.append(TimedWord(piece, start, end, float(np.mean(found.text_token_probs[first:last]))))
    return tuple(words)
