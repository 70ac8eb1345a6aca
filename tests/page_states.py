"""States of the web page, each reached by what the server sends and the user presses; for pictures and for checks."""

from collections.abc import Awaitable, Callable

import numpy as np

from tests.browser import Page, expect
from tests.emulators.page_server import PageServer

__all__ = ["STATES", "State", "tone"]

State = Callable[[Page, PageServer], Awaitable[None]]

LOCAL = {"name": "local", "place": "on_prem", "why": "fastest within budget", "latencyMs": 96}
CLOUD = {"name": "aws-transcribe", "place": "cloud", "why": "clearly better", "latencyMs": 240, "costUsd": 0.0004}
COUNTS = {"finals": 210, "asked": 212, "usd": 0.0, "failures": 0}
QUESTION = "Is it worth taking an umbrella to the harbour this afternoon?"
ANSWER = "Yes. Light rain is likely from about three o'clock, clearing again by evening, with a fresh wind."


def tone(seconds: float, *, rate: int = 16_000) -> np.ndarray:
    """A quiet sine, as 16-bit samples."""
    return (6000 * np.sin(2 * np.pi * 330 * np.arange(int(seconds * rate)) / rate)).astype("<i2")


async def welcome(page: Page, _server: PageServer) -> None:
    await expect(page.locator("#answering-text")).to_be_visible()


async def demonstration(page: Page, server: PageServer) -> None:
    """The server has no reply engine but the embedded one."""
    engine = {"engine": "embedded", "model": "smollm2-135m-instruct", "demonstration": True}
    server.routes["/engines"] = {"replies": [engine], "languages": ["en"]}
    await page.reload()
    await page.get_by_text("Connect a capable model").click()


async def conversation(page: Page, server: PageServer) -> None:
    """A turn that is complete, a reply that is spoken, and words that are a draft yet."""
    await page.get_by_role("button", name="Talk", exact=True).click()
    await server.wait_for_session(1)
    doubted: dict[str, object] = {"words": [{"word": "harbour", "start": 3, "end": 3.4, "confidence": 0.31}]}
    await server.send(
        type="fullSentence", text="Good morning.", utterance=1, turn=1, start=0.3, end=1.2, route=LOCAL, ttfsMs=188
    )
    await server.send(
        type="fullSentence",
        text=QUESTION,
        utterance=2,
        turn=1,
        start=1.9,
        end=4.6,
        route=CLOUD,
        ttfsMs=412,
        **doubted,
    )
    await server.send(type="replyStart", turn=1, text=QUESTION)
    await server.send(type="server_response", turn=1, message=ANSWER, audio="")
    await server.send(
        type="fullSentence", text="And tomorrow?", utterance=3, turn=2, start=8, end=8.7, route=LOCAL, ttfsMs=203
    )
    await server.send(type="replyStart", turn=2, text="And tomorrow?")
    await server.send(type="replyDelta", turn=2, text="Tomorrow looks dry and mild, with some sun after ten.")
    await server.play(2, tone(20).tobytes())
    draft = "could you remind me at eight o'clock two"
    await server.send(type="realtime", text=draft, stable="could you remind me at", utterance=4, turn=3)
    await expect(page.locator(".unstable").last).to_have_text(" eight o'clock two")
    await expect(page.locator(".spoken").nth(1)).to_contain_text("Tomorrow looks")


async def interrupted(page: Page, server: PageServer) -> None:
    await server.send(type="replyCancelled", turn=2, reason="barge_in")
    await expect(page.locator(".reply-end").nth(1)).to_have_text("You spoke over it")


async def details(page: Page, _server: PageServer) -> None:
    await page.locator(".how summary").first.click()
    await page.locator(".how-body dl").first.wait_for()
    await page.locator(".turn").first.scroll_into_view_if_needed()


async def settings(page: Page, _server: PageServer) -> None:
    await page.get_by_role("button", name="Settings").click()


async def transcript(page: Page, _server: PageServer) -> None:
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Transcript").click()


async def routes(page: Page, server: PageServer) -> None:
    await page.keyboard.press("Escape")
    server.routes |= {
        "/health": {"status": "ok", "runs": {"drafts": "moonshine-tiny-en", "finals": "local, aws-transcribe"}},
        "/policy/summary": {
            "rules": "fast-within-budget",
            "refusedChange": "",
            "routes": [
                {"name": "local", "p50_ms": 310, "p95_ms": 640, **COUNTS},
                {"name": "aws-transcribe", "p50_ms": 410, "p95_ms": 900, **COUNTS, "usd": 0.07, "failures": 4},
            ],
            "spend": {"usd": 0.0712, "budgetUsd": 2.0},
        },
        "/policy/explain": {
            "choices": [{"name": "local"}],
            "rejected": [{"name": "aws-transcribe", "why": "breaker open"}],
            "fleet": [
                {"name": "local", "place": "on_prem", "health": "closed"},
                {"name": "aws-transcribe", "place": "cloud", "health": "open"},
            ],
        },
    }
    await page.get_by_role("button", name="Engines and routes").click()
    await expect(page.locator(".route-card")).to_have_count(2)


async def captions(page: Page, _server: PageServer) -> None:
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Captions").click()
    await page.mouse.move(1, 1)


async def reconnecting(page: Page, server: PageServer) -> None:
    """The server restarts, and says so; meanwhile it is full."""
    await page.get_by_role("button", name="Captions").click()
    await page.mouse.move(1, 1)
    server.refuse_with = 1013
    await server.close(1012)
    await expect(page.locator("#connection")).to_have_text("Reconnecting…")


async def full(page: Page, _server: PageServer) -> None:
    await expect(page.locator("#notices")).to_contain_text("Every place is taken")


async def engine_failed(page: Page, server: PageServer) -> None:
    """Once it is connected again, which it does by itself."""
    server.refuse_with = None
    await expect(page.locator("#connection")).to_have_text("Connected", timeout=30_000)
    await server.send(type="error", code="provider_down", message="ollama: cannot be reached", fatal=False)
    await server.send(type="error", code="budget_exhausted", message="spent", fatal=False)
    await expect(page.locator("#notices")).to_contain_text("budget")


async def key_needed(page: Page, server: PageServer) -> None:
    await server.send(type="error", code="unauthorized", message="this server asks for a key", fatal=True)
    await server.close(1008)
    await expect(page.locator("#key-form")).to_be_visible()


STATES: dict[str, State] = {
    each.__name__: each
    for each in (
        welcome,
        demonstration,
        conversation,
        interrupted,
        details,
        settings,
        transcript,
        routes,
        captions,
        reconnecting,
        full,
        engine_failed,
        key_needed,
    )
}
"""In the order in which they are reached, each from the one before it."""
