"""What a start does with the version of the schema that it finds."""

import pytest

from app.data.schema import TABLES, SchemaState, SchemaStep, WrongSchema, next_step

VERSIONS = ("0001", "0002", "0003")


@pytest.mark.parametrize(
    ("found", "on_sqlite", "on_postgresql"),
    [
        (SchemaState(None, frozenset()), SchemaStep.CREATE, SchemaStep.CREATE),
        (SchemaState("0003", TABLES), SchemaStep.KEEP, SchemaStep.KEEP),
        (SchemaState("0003", frozenset({"audit"})), SchemaStep.CREATE, SchemaStep.CREATE),
        (SchemaState("0002", TABLES), SchemaStep.UPGRADE, "schema is 0002, this program needs 0003.*parley db upgrade"),
        (SchemaState(None, TABLES), SchemaStep.UPGRADE, "older than 0001, this program needs 0003.*parley db upgrade"),
        (SchemaState("0004", TABLES), *["0004, of a newer release.*up to 0003.*parley db downgrade 0003"] * 2),
        (SchemaState("0004", frozenset()), *["0004, of a newer release"] * 2),
        (SchemaState("1975ea83b712", TABLES), *["'1975ea83b712', which is no version of Parley's"] * 2),
    ],
    ids=[
        "empty",
        "newest",
        "table missing",
        "old",
        "without version",
        "newer",
        "newer and empty",
        "of another program",
    ],
)
def test_next_step_of_each_schema_version(found, on_sqlite, on_postgresql):
    for expected, upgrades_itself in ((on_sqlite, True), (on_postgresql, False)):
        if isinstance(expected, SchemaStep):
            assert next_step(found, upgrades_itself=upgrades_itself, versions=VERSIONS) is expected
        else:
            with pytest.raises(WrongSchema, match=expected):
                next_step(found, upgrades_itself=upgrades_itself, versions=VERSIONS)
