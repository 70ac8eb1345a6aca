"""The web page in a real browser against a scripted server."""

import base64
import io
import re
from collections.abc import AsyncIterator
from typing import Any

import anyio
import av
import numpy as np
import pytest

from app.domain.tenant import Tenant, fingerprint
from app.runtime.authentication import AnyOf, TenantKeys
from app.runtime.session_tokens import SessionTokens
from tests.browser import LEAD_SECONDS, Browser, Page, expect, open_browser, write_microphone
from tests.emulators.page_server import PageServer, open_page_server
from tests.page_states import tone
from tests.pictures import keep_picture
from tests.serving import scripted_service, served

pytestmark = [pytest.mark.anyio, pytest.mark.slow]

TIMEOUT_S = 20
ROUTE = {"name": "local", "place": "on_prem", "why": "fastest within budget"}


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    microphone = write_microphone(tmp_path_factory.mktemp("microphone") / "speech.wav")
    async with open_browser(microphone) as opened:
        yield opened


@pytest.fixture
async def server() -> AsyncIterator[PageServer]:
    async with open_page_server() as opened:
        yield opened


@pytest.fixture
async def console_errors() -> list[str]:
    """What the page's console says; the `page` fixture expects it empty at the end."""
    return []


@pytest.fixture
async def page(browser: Browser, server: PageServer, console_errors: list[str]) -> AsyncIterator[Page]:
    context = await browser.new_context(permissions=["microphone"])
    page = await context.new_page()
    page.on("console", lambda line: console_errors.append(line.text) if line.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: console_errors.append(str(error)))
    await page.goto(server.url)
    yield page
    await context.close()
    assert console_errors == []


def mp3(samples: np.ndarray, *, rate: int = 16_000) -> str:
    """The samples as base64 MP3."""
    out = io.BytesIO()
    with av.open(out, "w", format="mp3") as container:
        stream = container.add_stream("mp3", rate=rate, layout="mono", format="s16p")
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16p", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        fifo.write(frame)
        while piece := fifo.read(stream.codec_context.frame_size, partial=True):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))
    return base64.b64encode(out.getvalue()).decode()


async def start_session(page: Page, server: PageServer) -> None:
    await page.get_by_role("button", name="Talk", exact=True).click()
    await expect(page.locator("#connection")).to_have_text("Connected")
    await expect(page.locator("#hint")).to_have_text("Listening")
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_session(1)


async def darkness(page: Page, selector: str) -> int:
    """How dark the text is against the page, 0 to 255, once its colour has settled."""
    script = """([selector]) => {
      const element = document.querySelector(selector);
      for (const animation of document.getAnimations()) if (animation instanceof CSSTransition) animation.finish();
      return getComputedStyle(element).color;
    }"""
    red, green, blue = map(int, re.findall(r"\d+", await page.evaluate(script, [selector]))[:3])
    return 255 - (red + green + blue) // 3


async def test_page_streams_microphone_audio_in_small_packets(page: Page, server: PageServer) -> None:
    """Speech arrives with its energy, at the device's own rate, some 40 ms a packet."""
    await start_session(page, server)

    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_audio(LEAD_SECONDS + 2.5)

    samples = np.frombuffer(bytes(server.pcm), "<i2").astype(float)
    windows = samples[: len(samples) // 2400 * 2400].reshape(-1, 2400)
    levels = np.sqrt((windows**2).mean(axis=1))
    assert server.sample_rate in {44_100, 48_000}
    assert max(server.packet_seconds) == pytest.approx(0.04, abs=0.001)
    assert levels.max() > 1500
    assert (levels > 500).mean() > 0.25


async def test_page_shows_drafts_paler_than_finals(page: Page, server: PageServer) -> None:
    """Drafts are paler than their stable part, and both are paler than the final, which has a badge."""
    await start_session(page, server)

    await server.send(type="realtime", text="and so my fellow a", stable="and so my", utterance=1, turn=1)
    await expect(page.locator(".utterances")).to_have_text("and so my fellow a")
    unstable, stable = await darkness(page, ".unstable"), await darkness(page, ".stable")
    await keep_picture(page, "draft")
    final = "And so, my fellow Americans."
    await server.send(type="fullSentence", text=final, utterance=1, turn=1, start=0.3, end=2.3, route=ROUTE, ttfsMs=212)
    await expect(page.locator(".utterance .stable")).to_have_text(final)
    settled = await darkness(page, ".stable")
    await page.locator(".badge").hover()

    assert unstable < stable < settled
    await expect(page.locator(".route")).to_have_text("local")
    await expect(page.locator("#tooltip")).to_be_in_viewport(ratio=1)
    await expect(page.locator("#tooltip")).to_contain_text("Final 212 ms after you paused")
    await expect(page.locator("#tooltip")).to_contain_text("fastest within budget")
    await expect(page.locator("#announcer")).to_contain_text(f"You: {final}")
    await keep_picture(page, "final")


async def test_page_shows_and_plays_a_streamed_reply(page: Page, server: PageServer) -> None:
    """Text grows delta by delta, sound plays while it does, and the whole can be played again."""
    await start_session(page, server)
    reply = page.locator(".reply")

    await server.send(type="fullSentence", text="What can I do?", utterance=1, turn=1, route=ROUTE)
    await server.send(type="replyStart", turn=1, text="What can I do?")
    await expect(reply).to_have_attribute("data-progress", "waiting")
    await server.send(type="replyDelta", turn=1, text="Ask what ")
    await expect(page.locator(".reply-text")).to_have_text("Ask what")
    await server.play(1, tone(0.6, rate=22_050).tobytes(), sample_rate=22_050)
    await expect(reply).to_have_attribute("data-playing", "true")
    await server.send(type="replyDelta", turn=1, text="you can give.")
    await expect(page.locator(".reply-text")).to_have_text("Ask what you can give.")
    await server.send(type="server_response", turn=1, message="Ask what you can give.", audio=mp3(tone(1.5)))
    await expect(reply).to_have_attribute("data-playing", "false")

    await page.get_by_role("button", name="Play").click()
    await expect(reply).to_have_attribute("data-playing", "true")
    await page.get_by_role("button", name="Stop", exact=True).and_(page.locator(".replay")).click()
    await expect(reply).to_have_attribute("data-playing", "false")


async def test_page_stops_playback_on_barge_in(page: Page, server: PageServer) -> None:
    """Ten seconds of queued sound end with `replyCancelled`, and late packets of it stay unheard."""
    await start_session(page, server)
    await server.send(type="replyStart", turn=1, text="Hi")
    await server.send(type="replyDelta", turn=1, text="Well, in the beginning")
    await server.play(1, tone(10).tobytes())
    await expect(page.locator(".reply")).to_have_attribute("data-playing", "true")

    await server.send(type="replyCancelled", turn=1, reason="barge_in")
    await server.play(1, tone(10).tobytes())

    await expect(page.locator(".reply")).to_have_attribute("data-playing", "false", timeout=1000)
    await expect(page.locator(".reply-end")).to_have_text("You spoke over it")
    await page.wait_for_timeout(200)  # long enough for the late packet to be heard, were it played
    await expect(page.locator(".reply")).to_have_attribute("data-playing", "false")


async def test_page_stops_playback_of_a_complete_reply_on_barge_in(page: Page, server: PageServer) -> None:
    """`replyInterrupted` comes after `server_response`: the text stays, and the sound still queued is not played."""
    await start_session(page, server)
    await server.send(type="replyStart", turn=1, text="Hi")
    await server.play(1, tone(10).tobytes())
    await server.send(type="server_response", turn=1, message="Well, in the beginning.", audio=mp3(tone(1.5)))
    await expect(page.locator(".reply")).to_have_attribute("data-playing", "true")

    await server.send(type="replyInterrupted", turn=1, reason="barge_in")

    await expect(page.locator(".reply")).to_have_attribute("data-playing", "false", timeout=1000)
    await expect(page.locator(".reply-text")).to_have_text("Well, in the beginning.")


async def test_page_goes_on_with_a_reply_that_was_paused(page: Page, server: PageServer) -> None:
    """Quieter, then silent while late packets come; then what the server sends again is played to its end."""
    await start_session(page, server)
    reply = page.locator(".reply")
    await server.send(type="replyStart", turn=1, text="Hi")
    await server.play(1, tone(10).tobytes())
    await expect(reply).to_have_attribute("data-playing", "true")

    await server.send(type="replyDucked", turn=1)
    await expect(reply).to_have_attribute("data-sound", "ducked")
    await expect(page.locator(".reply-end")).to_have_text("Quieter while you speak")
    await server.send(type="replyPaused", turn=1)
    await server.play(1, tone(10).tobytes())
    await expect(reply).to_have_attribute("data-playing", "false", timeout=1000)
    await expect(page.locator(".reply-end")).to_have_text("Paused while you speak")
    await server.send(type="replyResumed", turn=1, samples=1600)
    await server.play(1, tone(0.5).tobytes())

    await expect(reply).to_have_attribute("data-playing", "true", timeout=1000)
    await expect(reply).to_have_attribute("data-sound", "")
    await expect(reply).to_have_attribute("data-playing", "false", timeout=3000)
    positions = [m["samples"] for m in server.control if m["type"] == "played"]
    assert positions[-1] == 1600 + 8000


async def test_page_keyboard_control(page: Page, server: PageServer) -> None:
    """Space talks and stops, Enter ends the turn, Escape stops the reply."""
    await page.keyboard.press("Space")
    await expect(page.locator("#hint")).to_have_text("Listening")
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_session(1)
        await page.keyboard.press("Enter")
        await server.wait_for_control("end")
        await page.keyboard.press("Escape")
        await server.wait_for_control("cancel")
    server.control.clear()

    await page.keyboard.press("Space")
    await expect(page.locator("#hint")).to_have_text("Press to talk")

    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_control("end")


async def test_page_settings_are_sent_and_persisted(page: Page, server: PageServer) -> None:
    """Turning spoken replies off reaches the server now, and is still off after a reload."""
    await start_session(page, server)
    await page.get_by_role("button", name="Settings").click()
    await keep_picture(page, "settings")

    await page.get_by_role("switch", name="Speak replies").uncheck()
    with anyio.fail_after(TIMEOUT_S):
        while server.control[-1].get("speak") is not False:
            await server.wait_for_audio(sum(server.packet_seconds) + 0.04)
    sent = server.control[-1]
    await page.reload()

    assert sent == {"type": "configure", "reply": True, "speak": False, "pauses": True}
    await expect(page.locator("#speak")).not_to_be_checked()


async def test_page_shows_that_the_session_is_recorded_and_for_how_long(page: Page, server: PageServer) -> None:
    """Before there is a session nothing is claimed; then the light is on, with the retention in words."""
    light = page.locator("#recording")
    await expect(light).to_be_hidden()

    await start_session(page, server)

    await expect(light).to_be_visible()
    await expect(light).to_have_text("Recorded \u00b7 kept 30 days")
    await expect(light).to_have_attribute("data-on", "true")
    await keep_picture(page, "recorded")


async def test_page_stops_recording_at_once_when_consent_is_withdrawn(page: Page, server: PageServer) -> None:
    """The switch begins a new session whose first message is `archive: false`, before any audio; it is remembered."""
    await start_session(page, server)
    await page.get_by_role("button", name="Settings").click()
    await expect(page.locator("#archive-note")).to_contain_text("kept 30 days")

    await page.get_by_role("switch", name="Record conversations").uncheck()
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_session(2)
        await server.wait_for_audio(sum(server.packet_seconds) + 0.2)
    await keep_picture(page, "consent")

    assert server.control[-1] == {"type": "configure", "reply": True, "speak": True, "archive": False, "pauses": True}
    await expect(page.locator("#recording")).to_have_text("Not recorded")
    await expect(page.locator("#notices")).to_be_empty()
    await page.reload()
    await expect(page.locator("#archive")).not_to_be_checked()


async def test_page_ignores_a_link_that_names_a_strange_server(page: Page, server: PageServer) -> None:
    """What is said goes to the page's own server, and a sentence says which one it did not go to."""
    await page.goto(f"{server.url}?ws=wss://evil.example/ws")
    await expect(page.locator("#notices")).to_contain_text("evil.example")
    await keep_picture(page, "link")

    await start_session(page, server)

    await expect(page.locator("#connection")).to_have_text("Connected")
    await expect(page.locator("#notices")).to_contain_text("evil.example")


async def test_content_security_policy_blocks_inline_script_and_strange_servers(
    page: Page, console_errors: list[str]
) -> None:
    """The browser itself refuses what injected code could try."""
    ran = await page.evaluate("""async () => {
      const script = document.createElement("script");
      script.textContent = "window.injected = true";
      document.head.append(script);
      const sent = await fetch("https://evil.example/").then(() => true, () => false);
      const opened = await new Promise((resolve) => {
        try {
          const socket = new WebSocket("wss://evil.example/");
          socket.onopen = () => resolve(true);
          socket.onerror = () => resolve(false);
        } catch { resolve(false); }
      });
      return [window.injected ?? false, sent, opened];
    }""")
    refused = [line for line in console_errors if "Content Security Policy" in line]
    console_errors.clear()

    assert ran == [False, False, False]
    assert len(refused) >= 3


async def test_page_reconnects_after_a_server_restart(page: Page, server: PageServer) -> None:
    """After a restart of the server the page is connected again and sends on; the draft cut off is marked."""
    await start_session(page, server)
    await server.send(type="realtime", text="half a sent", stable="half a", utterance=1, turn=1)
    await expect(page.locator(".unstable")).to_have_text(" sent")

    await server.close(1012)
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_session(2)
        await server.wait_for_audio(sum(server.packet_seconds) + 1)

    await expect(page.locator("#connection")).to_have_text("Connected")
    await expect(page.locator(".utterance")).to_have_attribute("data-certainty", "lost")
    await expect(page.locator("#notices")).to_be_empty()


async def test_page_resumes_its_session_when_the_connection_is_lost(
    page: Page, server: PageServer, console_errors: list[str]
) -> None:
    """The draft stays, its final comes over the next connection, and no sample is missing or doubled."""
    server.offers_resume = True
    await start_session(page, server)
    await server.send(type="realtime", text="half a sent", stable="half a", utterance=1, turn=1)
    await expect(page.locator(".unstable")).to_have_text(" sent")

    server.lose_connection()
    await expect(page.locator("#notices")).to_contain_text("the conversation continues")
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_session(2)
        await server.wait_for_audio(sum(server.packet_seconds) + 1)
    await server.send(type="fullSentence", text="Half a sentence.", utterance=1, turn=1, seq=1)

    await expect(page.locator("#connection")).to_have_text("Connected again")
    await expect(page.locator(".utterance")).to_have_text("Half a sentence.")
    await expect(page.locator("#notices")).to_be_empty()
    assert {"type": "resume", "token": "token-1", "received": 0} in server.control
    assert server.next_start == len(server.pcm) // 2
    console_errors.clear()  # the browser reports the lost connection


async def test_page_explains_no_capacity(page: Page, server: PageServer) -> None:
    """No capacity is a sentence and a button, and the page waits for its turn."""
    server.refuse_with = 1013
    await page.get_by_role("button", name="Talk", exact=True).click()

    await expect(page.locator("#notices")).to_contain_text("Every place is taken")
    await keep_picture(page, "full")
    server.refuse_with = None
    await page.get_by_role("button", name="Try now").click()

    await expect(page.locator("#connection")).to_have_text("Connected")
    await expect(page.locator("#notices")).to_be_empty()


async def test_page_asks_for_an_api_key(browser: Browser) -> None:
    """The page asks, says when a key is wrong, and keeps a token for a reload, never the key; a new tab asks anew."""
    acme = Tenant("acme", (fingerprint("parley_good-key"),))
    keys = TenantKeys(lambda: (acme,))
    tokens = SessionTokens(lambda: {"one": b"s" * 64}, [keys])
    service = scripted_service(authenticator=AnyOf([keys, tokens]), session_tokens=tokens)
    context = await browser.new_context(permissions=["microphone"])
    page = await context.new_page()
    async with served(service) as address:
        await page.goto(f"http://{address}/")
        await expect(page.locator("#key-form")).to_be_hidden()
        await page.get_by_role("button", name="Talk", exact=True).click()
        field = page.get_by_label("This server asks for a key.")
        await expect(field).to_be_focused()
        await expect(page.locator("#notices")).to_be_empty()
        await keep_picture(page, "key")

        for wrong in ("no key at all", "parley_wrong-key"):
            await field.fill(wrong)
            await field.press("Enter")
            field = page.get_by_label("This is not a key of this server.")
            await expect(field).to_be_visible()
        await field.fill("parley_good-key")
        await field.press("Enter")
        await expect(page.locator("#connection")).to_have_text("Connected")
        await expect(page.locator("#key-form")).to_be_hidden()

        await page.reload()
        await page.get_by_role("button", name="Talk", exact=True).click()
        await expect(page.locator("#connection")).to_have_text("Connected")
        await expect(page.locator("#key-form")).to_be_hidden()
        kept = await page.evaluate("JSON.stringify([sessionStorage, localStorage, document.cookie, location.href])")
        assert "parley-token" in kept
        assert "good-key" not in kept

        other = await context.new_page()
        await other.goto(f"http://{address}/")
        await other.get_by_role("button", name="Talk", exact=True).click()
        await expect(other.get_by_label("This server asks for a key.")).to_be_visible()
        await context.close()


async def test_page_explains_denied_microphone(browser: Browser, server: PageServer) -> None:
    """A user who said no reads how to say yes, and no session is kept open meanwhile."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.add_init_script(
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); }"
    )
    await page.goto(server.url)

    await page.get_by_role("button", name="Talk", exact=True).click()

    await expect(page.locator("#notices")).to_contain_text("The microphone is blocked")
    await expect(page.locator("#connection")).to_have_text("Ready")
    await expect(page.locator("#hint")).to_have_text("Press to talk")
    await context.close()


@pytest.mark.parametrize(
    ("name", "scheme", "width", "height"),
    [
        ("light", "light", 1100, 800),
        ("dark", "dark", 1100, 800),
        ("mobile", "light", 390, 780),
        ("zoomed", "dark", 320, 256),
    ],
)
async def test_page_layout_does_not_overflow(
    browser: Browser, server: PageServer, name: str, scheme: Any, width: int, height: int
) -> None:
    """On a desk, in the dark and on a telephone, a conversation fits without scrolling sideways."""
    context = await browser.new_context(
        permissions=["microphone"], color_scheme=scheme, viewport={"width": width, "height": height}
    )
    page = await context.new_page()
    await page.goto(server.url)
    await keep_picture(page, f"{name}-welcome")
    await start_session(page, server)
    cloud = {"name": "aws-transcribe", "place": "cloud", "costUsd": 0.0004}
    said = "Is it worth taking an umbrella to the harbour this afternoon?"
    await server.send(type="fullSentence", text="Good morning.", utterance=1, turn=1, route=ROUTE, ttfsMs=188)
    await server.send(type="fullSentence", text=said, utterance=2, turn=1, route=cloud, ttfsMs=412)
    await server.send(type="replyStart", turn=1, text=said)
    answer = "Yes. Light rain is likely from about three o'clock, clearing again by evening, with a fresh wind."
    await server.send(type="server_response", turn=1, message=answer, audio=mp3(tone(1)))
    await server.send(type="fullSentence", text="And tomorrow?", utterance=3, turn=2, route=ROUTE, ttfsMs=203)
    await server.send(type="replyStart", turn=2, text="And tomorrow?")
    await server.send(type="replyDelta", turn=2, text="Tomorrow looks dry and")
    await server.play(2, tone(4).tobytes())
    draft = "could you remind me at eight o'clock two"
    await server.send(type="realtime", text=draft, stable="could you remind me at", utterance=4, turn=3)
    await expect(page.locator(".unstable").last).to_have_text(" eight o'clock two")
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_audio(LEAD_SECONDS + 0.7)
    await keep_picture(page, name)

    overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth")

    assert overflow <= 0
    await context.close()


async def test_page_answers_a_typed_text_without_a_microphone(browser: Browser, server: PageServer) -> None:
    """What is typed stands there at once, is sent, and becomes the user's part of the turn that answers it."""
    context = await browser.new_context()
    page = await context.new_page()
    await page.goto(server.url)
    field = page.get_by_label("Type instead of speaking")

    await field.fill("What can I do?")
    await field.press("Enter")
    await expect(page.locator(".typed")).to_have_text("What can I do?")
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_control("text")
    await server.send(type="replyStart", turn=1, text="What can I do?")
    await server.send(type="server_response", turn=1, message="Ask what you can give.", audio="")

    await expect(page.locator(".typed")).to_have_count(0)
    await expect(page.locator(".utterances")).to_have_text("What can I do? ")
    await expect(page.locator(".reply-text")).to_have_text("Ask what you can give.")
    assert [frame["text"] for frame in server.control if frame["type"] == "text"] == ["What can I do?"]
    assert server.pcm == b""
    await context.close()


async def test_page_says_that_a_demonstration_model_answers_and_how_to_connect_another(
    page: Page, server: PageServer
) -> None:
    """On the welcome and beside each of its replies."""
    server.routes["/engines"] = {
        "replies": [{"engine": "embedded", "model": "smollm2-135m-instruct", "demonstration": True}],
        "languages": ["en"],
    }
    await page.reload()
    await expect(page.locator("#answering-text")).to_contain_text("demonstration model")
    await page.get_by_text("Connect a capable model").click()
    await expect(page.get_by_text("ollama pull")).to_be_visible()

    await start_session(page, server)
    await server.send(type="fullSentence", text="Hi.", utterance=1, turn=1)
    await server.send(type="replyStart", turn=1, text="Hi.")

    await expect(page.locator(".engine")).to_have_text("demonstration model")


async def test_page_lights_the_words_as_they_are_spoken_and_marks_what_was_not(page: Page, server: PageServer) -> None:
    """The word that is spoken is lit; after an interruption the rest of the reply is struck through."""
    await start_session(page, server)
    text = "Tomorrow looks dry and mild, with some sun after ten, and a light wind from the west in the evening."
    await server.send(type="replyStart", turn=1, text="And tomorrow?")
    await server.send(type="replyDelta", turn=1, text=text)
    await server.play(1, tone(8).tobytes())
    await expect(page.locator(".reply-text .current")).not_to_be_empty()
    await expect(page.locator(".spoken")).to_contain_text("Tomorrow looks")

    await server.send(type="replyCancelled", turn=1, reason="barge_in")

    await expect(page.locator(".reply-text")).to_have_attribute("data-cut", "true")
    await expect(page.locator(".unspoken")).to_contain_text("evening.")
    assert await page.locator(".unspoken").evaluate("e => getComputedStyle(e).textDecorationLine") == "line-through"


async def test_page_copies_no_hidden_text_and_downloads_subtitles(browser: Browser, server: PageServer) -> None:
    """Selecting the conversation takes names and words alone; files hold the same."""
    context = await browser.new_context(permissions=["microphone", "clipboard-read", "clipboard-write"])
    page = await context.new_page()
    await page.goto(server.url)
    await start_session(page, server)
    await server.send(
        type="fullSentence", text="Good day.", utterance=1, turn=1, start=0.5, end=2, route=ROUTE, ttfsMs=188
    )
    await server.send(type="replyStart", turn=1, text="Good day.")
    await server.send(type="server_response", turn=1, message="And to you.", audio="")
    await expect(page.locator(".reply-text")).to_have_text("And to you.")

    await page.evaluate("getSelection().selectAllChildren(document.getElementById('conversation'))")
    selected = (await page.evaluate("getSelection().toString()")).split()
    await page.get_by_role("button", name="Transcript").click()
    await page.get_by_role("button", name="Copy").click()
    await expect(page.locator("#transcript-status")).to_have_text("Copied.")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Subtitles (SRT)").click()
    path = await (await download.value).path()

    assert selected == ["You", "Good", "day.", "Parley", "llama3.2", "And", "to", "you."]
    assert await page.evaluate("navigator.clipboard.readText()") == "You: Good day.\n\nParley: And to you.\n"
    assert path.read_text().startswith("1\n00:00:00,500 --> 00:00:02,000\nYou: Good day.\n")
    await context.close()


async def test_page_listens_only_while_the_button_is_held(page: Page, server: PageServer) -> None:
    """With push to talk Space is held: the turn mode is `manual`, silence is not sent, and letting go ends the turn."""
    await page.get_by_role("button", name="Settings").click()
    await page.get_by_role("switch", name="Push to talk").check()
    await page.keyboard.press("Escape")

    await page.get_by_role("button", name="Hold to talk").focus()
    await page.keyboard.down("Space")
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_audio(0.4)
    await expect(page.locator("#hint")).to_have_text("Release to send")
    await page.keyboard.up("Space")
    await expect(page.locator("#hint")).to_have_text("Hold to talk")
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_control("end")
    sent = sum(server.packet_seconds)
    await page.wait_for_timeout(300)  # some packets long, were they sent

    assert sum(server.packet_seconds) == sent
    assert server.control[0]["turns"] == "manual"


async def test_page_keeps_a_long_word_within_the_window(page: Page, server: PageServer) -> None:
    """An address of two hundred letters is broken, and the sentences beside it stay where they are."""
    await start_session(page, server)
    await server.send(type="fullSentence", text="https://example.org/" + "a" * 200, utterance=1, turn=1)
    await server.send(type="replyStart", turn=1, text="x")
    await server.send(type="replyDelta", turn=1, text="b" * 300)
    await expect(page.locator(".reply-text")).to_contain_text("bbb")

    widths = "[...document.querySelectorAll('.turn, #scroll, body')].map((e) => e.scrollWidth - e.clientWidth)"
    assert max(await page.evaluate(widths)) <= 0


async def test_page_begins_a_new_conversation(page: Page, server: PageServer) -> None:
    """The turns go, and what is said next belongs to another session."""
    await start_session(page, server)
    await server.send(type="fullSentence", text="Good morning.", utterance=1, turn=1)
    await expect(page.locator(".turn")).to_have_count(1)

    await page.get_by_role("button", name="New conversation").click()

    await expect(page.locator(".turn")).to_have_count(0)
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_session(2)
    await expect(page.locator("#connection")).to_have_text("Connected")


async def test_page_speaks_german_and_shows_the_timeline_of_a_turn(browser: Browser, server: PageServer) -> None:
    """In a German browser; the drawing's label has the same in words."""
    context = await browser.new_context(permissions=["microphone"], locale="de-DE")
    page = await context.new_page()
    await page.goto(server.url)
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    await page.get_by_role("button", name="Sprechen", exact=True).click()
    await expect(page.locator("#connection")).to_have_text("Verbunden")
    with anyio.fail_after(TIMEOUT_S):
        await server.wait_for_session(1)
    await server.send(
        type="fullSentence", text="Guten Tag.", utterance=1, turn=1, start=0.5, end=2, route=ROUTE, ttfsMs=188
    )
    await server.send(type="replyStart", turn=1, text="Guten Tag.")
    await server.send(type="replyDelta", turn=1, text="Hallo.")

    await page.locator(".how summary").click()

    drawing = page.locator("svg.timeline")
    await expect(drawing).to_have_attribute(
        "aria-label", re.compile(r"Sprache 1\.5 s, Fertig \+188 ms, Erstes Wort \+")
    )
    await expect(page.locator(".how-body")).to_contain_text("Auf eurem eigenen Rechner")
    await context.close()


async def test_page_shows_routes_to_an_administrator_and_says_why_not_to_others(
    page: Page, server: PageServer, console_errors: list[str]
) -> None:
    """Health, p95, failures and spending; without the right a sentence about what is missing."""
    server.routes["/health"] = {"status": "ok"}
    server.routes["/policy/summary"] = {
        "rules": "fast",
        "refusedChange": "",
        "routes": [
            {"name": "aws", "finals": 3, "p50_ms": 300, "p95_ms": 640, "usd": 0.1, "asked": 4, "failures": 1},
        ],
        "spend": {"usd": 0.1, "budgetUsd": 2.0},
    }
    server.routes["/policy/explain"] = {
        "choices": [],
        "rejected": [{"name": "aws", "why": "breaker open"}],
        "fleet": [{"name": "aws", "place": "cloud", "health": "open"}],
    }
    await page.get_by_role("button", name="Engines and routes").click()
    await expect(page.locator(".route-card")).to_contain_text("Paused after failures")
    await expect(page.locator(".route-card")).to_contain_text("640 ms")
    await expect(page.locator(".spend")).to_have_text("Spent today: $0.1000 of $2.00")
    await page.keyboard.press("Escape")

    server.routes["/policy/summary"] = server.routes["/policy/explain"] = 404
    await page.get_by_role("button", name="Engines and routes").click()
    await expect(page.locator(".state")).to_contain_text("no policy")
    server.routes["/policy/summary"] = 403
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Engines and routes").click()
    await expect(page.locator(".state")).to_contain_text("Only an administrator")
    console_errors.clear()  # the browser reports the statuses
