"""`make audit`: what it says of pip-audit's answers, and the list of parts it writes."""

import json
from importlib.util import find_spec

import pytest

from infra.audit import verdict, write_sbom
from tests.source import ROOT

FINE = {"name": "httpx", "version": "1.0", "vulns": []}
VULNERABLE = {"name": "av", "version": "14.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["14.1"]}]}
SKIPPED = {"name": "cyllama", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("dependencies", "expected"),
    [
        ([FINE], (0, ["no known vulnerability"])),
        ([FINE, VULNERABLE], (1, ["av 14.0: CVE-2026-1, mended in 14.1"])),
        (
            [FINE, SKIPPED],
            (0, ["no known vulnerability", "not compared, since the database does not know them: cyllama"]),
        ),
    ],
    ids=["fine", "vulnerable", "one is unknown"],
)
def test_audit_names_vulnerable_packages(dependencies, expected):
    assert verdict(json.dumps({"dependencies": dependencies}), "") == expected


@pytest.mark.parametrize("output", ["", "Traceback", json.dumps({"dependencies": [SKIPPED, SKIPPED]})])
def test_audit_fails_with_a_sentence_where_the_database_cannot_be_reached(output):
    status, (sentence,) = verdict(output, "ConnectionError: no route to host\n")

    assert status == 2
    assert sentence.startswith("The database of vulnerabilities cannot be reached from here, so nothing was compared: ")


def test_sbom_lists_every_pinned_package(tmp_path):
    if find_spec("cyclonedx_py") is None:
        pytest.skip("cyclonedx-bom is in the environment of `make audit` alone")
    requirements = ROOT / "requirements" / "serve.txt"

    write_sbom(requirements, tmp_path / "sbom.json")

    sbom = json.loads((tmp_path / "sbom.json").read_text("utf-8"))
    pinned = [line.split("==")[0] for line in requirements.read_text("utf-8").splitlines() if line[:1].isalpha()]
    assert sbom["bomFormat"] == "CycloneDX"
    assert sorted(part["name"] for part in sbom["components"]) == sorted(pinned)
