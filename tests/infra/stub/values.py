"""Values a provider would decide: unknown while planned, plausible once applied. Pure."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from tests.infra.stub.schema import Block, attributes, blocks_in, type_of

UNKNOWN = msgspec.msgpack.Ext(0, b"\x00")
ACCOUNT, REGION = "123456789012", "eu-central-1"
_JSON = {"policy", "assume_role_policy", "container_definitions", "dashboard_body"}


def is_unknown(value: Any) -> bool:
    return isinstance(value, msgspec.msgpack.Ext)


def faults(block: Block, value: Any, path: str) -> Iterator[tuple[str, str]]:
    """What a real provider refuses and Terraform itself does not: (summary, detail)."""
    for name, one in attributes(block).items():
        held = value.get(name)
        is_theirs = one.get("computed") and not one.get("optional") and not one.get("required")
        if is_theirs and held is not None:
            yield "Invalid attribute", f"{path}.{name} is decided by the provider and cannot be set"
        if name in _JSON and isinstance(held, str):
            try:
                json.loads(held)
            except ValueError as error:
                yield f"{path}.{name} is not JSON", str(error)
    for name, nested, values in blocks_in(block, value):
        for each in values:
            yield from faults(nested, each, f"{path}.{name}")


def planned(block: Block, proposed: dict[str, Any], config: Any, *, is_new: bool) -> dict[str, Any]:
    """The proposal with what only the provider can know left open, and without what must not be kept."""
    if is_new:
        _open(block, proposed, config)
    for name, one in attributes(block).items():
        if one.get("write_only"):
            proposed[name] = None
    return proposed


def _open(block: Block, proposed: dict[str, Any], config: Any) -> None:
    for name, one in attributes(block).items():
        if one.get("computed") and (config or {}).get(name) is None and proposed.get(name) is None:
            proposed[name] = UNKNOWN
    configured = {name: values for name, _, values in blocks_in(block, config)}
    for name, nested, values in blocks_in(block, proposed):
        theirs = configured.get(name, [])
        for i, each in enumerate(values):
            _open(nested, each, theirs[i] if i < len(theirs) else None)


def filled(block: Block, value: dict[str, Any], kind: str, *, also_null: bool = False) -> dict[str, Any]:
    """The same with every open value made up; the same question gets the same answer."""
    seed = hashlib.sha256(json.dumps([kind, value], default=str, sort_keys=True).encode()).hexdigest()[:12]
    _fill(block, value, kind, seed, also_null=also_null)
    return value


def _fill(block: Block, value: dict[str, Any], kind: str, seed: str, *, also_null: bool) -> None:
    for name, one in attributes(block).items():
        held = value.get(name)
        if is_unknown(held) or (also_null and held is None and one.get("computed")):
            value[name] = _made_up(type_of(one), name, kind, seed)
    for _, nested, values in blocks_in(block, value):
        for i, each in enumerate(values):
            _fill(nested, each, kind, f"{seed}.{i}", also_null=also_null)


def _made_up(type_: Any, name: str, kind: str, seed: str) -> Any:
    match type_:
        case "string" if name == "arn" or name.endswith("_arn"):
            return f"arn:aws:{kind.removeprefix('aws_').partition('_')[0]}:{REGION}:{ACCOUNT}:{kind}/{seed}"
        case "string" if name == "issuer_identifier":
            return f"https://{seed}.tokens.sts.global.api.aws"
        case "string":
            return f"{kind}-{seed}" if name == "id" else f"{name}-{seed}"
        case "number":
            return 1
        case "bool":
            return False
        case "dynamic":
            return None
        case ["list" | "set", _]:
            return []
        case ["map", _]:
            return {}
        case ["tuple", inner]:
            return [_made_up(one, name, kind, seed) for one in inner]
        case ["object", inner]:
            return {key: _made_up(one, key, kind, seed) for key, one in inner.items()}
    raise AssertionError(type_)


def known(kind: str, config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Answers of the data sources whose answer matters."""
    return _KNOWN.get(kind, lambda _: {})(config)


def _document(config: Mapping[str, Any]) -> dict[str, Any]:
    statements = []
    for one in config.get("statement") or []:
        statement: dict[str, Any] = {"Sid": one["sid"]} if one.get("sid") else {}
        statement["Effect"] = one.get("effect") or "Allow"
        for key, name in (("Action", "actions"), ("NotAction", "not_actions"), ("Resource", "resources")):
            if one.get(name):
                statement[key] = sorted(map(str, one[name]))
        for who in one.get("principals") or []:
            statement.setdefault("Principal", {})[who["type"]] = sorted(map(str, who["identifiers"]))
        for condition in one.get("condition") or []:
            tests = statement.setdefault("Condition", {}).setdefault(condition["test"], {})
            tests[condition["variable"]] = list(map(str, condition["values"]))
        statements.append(statement)
    text = json.dumps({"Version": "2012-10-17", "Statement": statements})
    return {"json": text, "minified_json": text}


_ZERO = "00000000-0000-0000-0000-000000000000"
_KNOWN: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "aws_iam_policy_document": _document,
    "aws_caller_identity": lambda _: {"account_id": ACCOUNT, "id": ACCOUNT},
    "aws_region": lambda _: {"region": REGION, "name": REGION, "id": REGION},
    "aws_partition": lambda _: {"partition": "aws", "dns_suffix": "amazonaws.com", "id": "aws"},
    "azurerm_client_config": lambda _: dict.fromkeys(("client_id", "tenant_id", "subscription_id", "object_id"), _ZERO),
}
