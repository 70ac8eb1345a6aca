"""checkov finds nothing that is not explained beside it."""

import json
import re
import subprocess

import pytest

from tests.infra.conftest import TERRAFORM
from tests.infra.shipped import tool

pytestmark = pytest.mark.slow


def test_checkov_reports_no_finding():
    """Every check passes, or is skipped where it stands, for a reason."""
    words = ("--framework", "terraform", "--compact", "--download-external-modules", "false", "-o", "json")
    done = subprocess.run([tool("checkov"), "-d", TERRAFORM, *words], capture_output=True, text=True, check=False)

    results = json.loads(done.stdout)["results"]
    assert [(each["check_id"], each["resource"]) for each in results["failed_checks"]] == []
    assert len(results["passed_checks"]) > 300
    for each in results["skipped_checks"]:
        assert len(each["check_result"]["suppress_comment"].split()) >= 4, each["check_id"]


def test_checkov_skips_name_their_check_and_a_reason():
    """One check each, by its number, and why."""
    for file in TERRAFORM.rglob("*.tf"):
        for skip in re.findall(r"#checkov:skip=(\S*)", file.read_text()):
            assert re.fullmatch(r"CKV2?_(AWS|AZURE)_\d+:\S+", skip), (file, skip)
