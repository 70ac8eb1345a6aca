"""JSON of decisions, as stored in the database, answered over HTTP and read from traces.

The format is older than some of the field names: the tables below hold the names that differ. Fields that are
missing have their defaults, and unknown ones are ignored, so rows of older and newer releases can be read.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from app.domain.routing.decision import DecisionRecord
from app.domain.routing.request import Candidate
from app.json_input import decode_json

REQUEST = {"residency": "allowed"}
CANDIDATE = {"breaker_state": "health", "failure_rate": "badness", "in_flight": "waiting"}

_any, _list = msgspec.json.Decoder(Any), msgspec.json.Decoder(list[Any])


def encode_decision(record: DecisionRecord) -> bytes:
    """Raises ValueError where a text of the record is not valid Unicode."""
    return msgspec.json.encode(_stored(record))


def encode_decisions(records: list[DecisionRecord]) -> bytes:
    """One JSON array."""
    return msgspec.json.encode([_stored(record) for record in records])


def decode_decision(text: str | bytes) -> DecisionRecord:
    """Raises msgspec.DecodeError."""
    return _record(decode_json(text, _any))


def decode_decisions(text: bytes) -> list[DecisionRecord]:
    """From a JSON array. Raises msgspec.DecodeError."""
    return [_record(item) for item in decode_json(text, _list)]


def candidate_fields(candidate: Candidate) -> dict[str, Any]:
    """The JSON object of a candidate."""
    return _renamed(msgspec.to_builtins(candidate), CANDIDATE)


def _stored(record: DecisionRecord) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(record)
    fields["request"] = _renamed(fields["request"], REQUEST)
    fields["fleet"] = [_renamed(candidate, CANDIDATE) for candidate in fields["fleet"]]
    return fields


def _record(fields: Any) -> DecisionRecord:
    if isinstance(fields, dict):
        fields = dict(fields)
        if isinstance(fields.get("request"), dict):
            fields["request"] = _renamed(fields["request"], _inverted(REQUEST))
        if isinstance(fields.get("fleet"), list):
            names = _inverted(CANDIDATE)
            fields["fleet"] = [_renamed(c, names) if isinstance(c, dict) else c for c in fields["fleet"]]
    return msgspec.convert(fields, DecisionRecord)


def _renamed(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}


def _inverted(names: Mapping[str, str]) -> dict[str, str]:
    return {stored: name for name, stored in names.items()}
