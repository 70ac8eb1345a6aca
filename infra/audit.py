"""`make audit`: writes the SBOM of the pinned dependencies, and compares them with the published vulnerabilities."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

REQUIREMENTS, SBOM = Path("requirements/serve.txt"), Path("sbom.cdx.json")
UNREACHABLE = "The database of vulnerabilities cannot be reached from here, so nothing was compared: {}."


def main() -> int:
    """0: no vulnerability is known. 1: some are. 2: they could not be looked up."""
    write_sbom(REQUIREMENTS, SBOM)
    print(f"{SBOM}: {len(json.loads(SBOM.read_text('utf-8'))['components'])} components")
    command = ["-m", "pip_audit", "--disable-pip", "--require-hashes", "--format", "json", "--progress-spinner", "off"]
    found = subprocess.run(  # noqa: S603 because its arguments are constants
        [sys.executable, *command, "--requirement", str(REQUIREMENTS)], capture_output=True, text=True, check=False
    )
    status, lines = verdict(found.stdout, found.stderr)
    print("\n".join(lines))
    return status


def write_sbom(requirements: Path, sbom: Path) -> None:
    """CycloneDX, in JSON; the same input gives the same file."""
    options = ["--output-reproducible", "--output-format", "JSON", "--output-file", str(sbom)]
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", *options, str(requirements)]
    subprocess.run(command, check=True)  # noqa: S603 because its arguments are constants


def verdict(output: str, errors: str) -> tuple[int, Sequence[str]]:
    """The exit status and the lines to print for what pip-audit has written."""
    try:
        dependencies = json.loads(output)["dependencies"]
    except (ValueError, KeyError):
        return 2, [UNREACHABLE.format(errors.strip().splitlines()[-1] if errors.strip() else "no answer")]
    vulnerable = [
        f"{each['name']} {each['version']}: {vuln['id']}, mended in {', '.join(vuln['fix_versions']) or 'no version'}"
        for each in dependencies
        for vuln in each.get("vulns", [])
    ]
    skipped = [each["name"] for each in dependencies if "skip_reason" in each]
    if len(skipped) == len(dependencies):
        return 2, [UNREACHABLE.format("it knows none of the packages")]
    unknown = [f"not compared, since the database does not know them: {', '.join(skipped)}"] if skipped else []
    return (1 if vulnerable else 0), [*(vulnerable or ["no known vulnerability"]), *unknown]


if __name__ == "__main__":
    sys.exit(main())
