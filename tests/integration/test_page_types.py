"""The page's modules agree with their JSDoc types, as the TypeScript compiler reads them."""

import subprocess
from pathlib import Path

import pytest

from tests.client_environments import node_client

pytestmark = pytest.mark.slow

FRONTEND = Path(__file__).parents[2] / "frontend"


@pytest.fixture(scope="module")
def compiler() -> Path:
    environment = node_client("typescript", "typescript@5.9.3")
    return Path(environment.environment["CLIENT_MODULES"]) / "typescript" / "bin" / "tsc"


def test_modules_agree_with_their_types(compiler: Path) -> None:
    """As `frontend/tsconfig.json` has it: implicit types may be any, and everything may be null."""
    checked = subprocess.run(["node", compiler, "-p", FRONTEND], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stdout) == (0, "")


def test_a_wrong_type_is_found(compiler: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.js"
    wrong.write_text("/** @param {number} ms */\nconst wait = (ms) => ms;\nwait('long');\n")

    checked = subprocess.run(
        ["node", compiler, "--checkJs", "--noEmit", wrong], capture_output=True, text=True, check=False
    )

    assert "not assignable to parameter of type 'number'" in checked.stdout
