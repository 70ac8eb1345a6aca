"""What axe-core finds on a page: violations of the accessibility guidelines."""

from pathlib import Path

from tests.browser import Page
from tests.client_environments import node_client

__all__ = ["axe_script", "violations"]

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def axe_script() -> str:
    """The script of axe-core. Skips, or in a strict run fails, where npm cannot fetch it."""
    environment = node_client("axe", "axe-core@4.10.3")
    return (Path(environment.environment["CLIENT_MODULES"]) / "axe-core" / "axe.min.js").read_text()


async def violations(page: Page, axe: str) -> list[str]:
    """Each with its element; what scrolls sideways is one, too. The page's policy is not for this script."""
    await page.evaluate(f"window.axe || (() => {{ {axe} }})()")
    found = await page.evaluate("(tags) => axe.run(document, {runOnly: tags})", TAGS)
    sideways = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [
        f"{rule['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:300]}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ] + ([f"{sideways} pixels wider than the window"] if sideways > 0 else [])
