"""Terraform provider with the real schema and no cloud behind it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tests.infra.stub import messages as say
from tests.infra.stub import values
from tests.infra.stub.schema import told

Answering = tuple[Any, Callable[[Any], Any]]


def decoded(value: Any) -> Any:
    if value.json:
        return json.loads(value.json)
    return msgspec.msgpack.decode(value.msgpack) if value.msgpack else None


def encoded(value: Any) -> Any:
    return say.DynamicValue(msgpack=msgspec.msgpack.encode(value))


class StubProvider:
    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = schema
        self._told = told(schema)

    def answers(self) -> dict[str, Answering]:
        """By the call's name: the message it brings, and what answers it."""
        return {
            "GetProviderSchema": (say.Empty, lambda _: self._told),
            "ValidateProviderConfig": (say.ProviderConfig, lambda _: say.ProviderValidated()),
            "ConfigureProvider": (say.Configure, lambda _: say.Told()),
            "ValidateResourceConfig": (say.Validate, self._validate),
            "ValidateDataResourceConfig": (say.Validate, lambda _: say.Told()),
            "ValidateEphemeralResourceConfig": (say.Validate, lambda _: say.Told()),
            "UpgradeResourceState": (say.Upgrade, self._upgrade),
            "ReadResource": (say.Read, lambda ask: say.ReadState(state=ask.state, private=ask.private)),
            "PlanResourceChange": (say.Plan, self._plan),
            "ApplyResourceChange": (say.Apply, self._apply),
            "ReadDataSource": (say.ReadData, self._read_data),
            "OpenEphemeralResource": (say.Open, self._open),
            "CloseEphemeralResource": (say.Close, lambda _: say.Told()),
            "GetFunctions": (say.Empty, lambda _: say.Empty()),
            "StopProvider": (say.Empty, lambda _: say.Empty()),
        }

    def _block(self, kind: str, what: str = "resource") -> Any:
        return self._schema[f"{what}_schemas"][kind]["block"]

    def _validate(self, ask: Any) -> Any:
        found = values.faults(self._block(ask.type_name), decoded(ask.config), ask.type_name)
        return say.Told(diagnostics=[say.Diagnostic(severity=1, summary=s, detail=d) for s, d in found])

    def _upgrade(self, ask: Any) -> Any:
        return say.Upgraded(state=say.DynamicValue(json=ask.raw_state.json))

    def _plan(self, ask: Any) -> Any:
        proposed = decoded(ask.proposed)
        if proposed is not None:
            is_new = decoded(ask.prior) is None
            proposed = values.planned(self._block(ask.type_name), proposed, decoded(ask.config), is_new=is_new)
        return say.Planned(state=encoded(proposed), legacy_type_system=True)

    def _apply(self, ask: Any) -> Any:
        planned = decoded(ask.planned)
        made = None if planned is None else values.filled(self._block(ask.type_name), planned, ask.type_name)
        return say.Applied(state=encoded(made), legacy_type_system=True)

    def _read_data(self, ask: Any) -> Any:
        state = decoded(ask.config)
        state.update(values.known(ask.type_name, state))
        block = self._block(ask.type_name, "data_source")
        return say.DataState(state=encoded(values.filled(block, state, ask.type_name, also_null=True)))

    def _open(self, ask: Any) -> Any:
        block = self._block(ask.type_name, "ephemeral_resource")
        return say.Opened(result=encoded(values.filled(block, decoded(ask.config), ask.type_name, also_null=True)))
