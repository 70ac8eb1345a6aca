"""A provider's schema from the output of `terraform providers schema -json`."""

import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.infra.stub import messages as say

_NESTING = {"single": 1, "list": 2, "set": 3, "map": 4, "group": 5}

Block = Mapping[str, Any]


def read_schema(path: Path) -> Mapping[str, Any]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        schema: Mapping[str, Any] = json.load(file)
    return schema


def attributes(block: Block) -> Mapping[str, Any]:
    found: Mapping[str, Any] = block.get("attributes", {})
    return found


def type_of(attribute: Mapping[str, Any]) -> Any:
    """Terraform's notation of a type: `"string"`, `["list", "string"]`, `["object", {...}]`."""
    if "nested_type" not in attribute:
        return attribute["type"]
    nested = attribute["nested_type"]
    one = ["object", {name: type_of(inner) for name, inner in nested["attributes"].items()}]
    return one if nested["nesting_mode"] == "single" else [nested["nesting_mode"], one]


def blocks_in(block: Block, value: Any) -> Iterator[tuple[str, Block, list[Any]]]:
    """Each nested block's name and schema, with the values that stand there."""
    for name, nested in block.get("block_types", {}).items():
        held = value.get(name) if isinstance(value, dict) else None
        if isinstance(held, dict):
            values = list(held.values()) if nested["nesting_mode"] == "map" else [held]
        else:
            values = [each for each in held if isinstance(each, dict)] if isinstance(held, list) else []
        yield name, nested["block"], values


def told(schema: Mapping[str, Any]) -> Any:
    """The whole schema as Terraform wants to hear it."""
    answer = say.Schemas(provider=_schema(schema["provider"]))
    for kind in ("resource_schemas", "data_source_schemas", "ephemeral_resource_schemas"):
        getattr(answer, kind).extend(
            say.NamedSchema(key=name, value=_schema(one)) for name, one in schema.get(kind, {}).items()
        )
    answer.server_capabilities.get_provider_schema_optional = True
    return answer


def _schema(one: Mapping[str, Any]) -> Any:
    return say.Schema(version=one.get("version", 0), block=_block(one["block"]))


def _block(block: Block) -> Any:
    return say.Block(
        deprecated=block.get("deprecated", False),
        attributes=[_attribute(name, one) for name, one in sorted(attributes(block).items())],
        block_types=[
            say.NestedBlock(
                type_name=name,
                block=_block(nested["block"]),
                nesting=_NESTING[nested["nesting_mode"]],
                min_items=nested.get("min_items", 0),
                max_items=nested.get("max_items", 0),
            )
            for name, nested in sorted(block.get("block_types", {}).items())
        ],
    )


def _attribute(name: str, one: Mapping[str, Any]) -> Any:
    flags = ("required", "optional", "computed", "sensitive", "deprecated", "write_only")
    message = say.Attribute(name=name, **{flag: one.get(flag, False) for flag in flags})
    if "nested_type" in one:
        nested = one["nested_type"]
        message.nested_type.nesting = _NESTING[nested["nesting_mode"]]
        message.nested_type.attributes.extend(_attribute(n, a) for n, a in sorted(nested["attributes"].items()))
    else:
        message.type = json.dumps(one["type"]).encode()
    return message
