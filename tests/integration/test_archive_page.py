"""The archive page in a real browser against a real service: search, playback, upload, renaming, deletion."""

import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest

from app.assembly.service import open_service
from app.config import Settings
from tests.accessibility import axe_script, violations
from tests.browser import Browser, Page, expect, open_browser, write_microphone
from tests.clips import COUNTRY, HANDS, HOUR
from tests.models import MODELS_DIR, model
from tests.pictures import keep_picture
from tests.serving import served

pytestmark = [pytest.mark.anyio, pytest.mark.models, pytest.mark.slow, pytest.mark.timeout(300)]

KEY = "archive-page-0123456789-0123456789-abc"
READER_SCOPES = ["speak"]
SIZES = {"desk": (1280, 800), "phone": (390, 844), "narrow": (320, 568)}
SOUND = """() => {
  window.played = { samples: 0, loudest: 0 };
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (...when) {
    const samples = this.buffer.getChannelData(0);
    window.played.samples += samples.length;
    for (const sample of samples) window.played.loudest = Math.max(window.played.loudest, Math.abs(sample));
    return start.apply(this, when);
  };
}"""
"""What the page plays is measured at the node that plays it."""


@dataclass
class Archive:
    url: str
    http: httpx.AsyncClient
    """With the administrator's key."""
    recordings: dict[str, str]
    """Ids by the name of the clip."""
    conversation: str


@pytest.fixture(scope="module")
async def archive(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Archive]:
    """A server on real models that has transcribed two recordings and keeps one conversation."""
    for name in ("whisper-tiny.en", "whisper-base", "smart-turn-v3", "piper-en_US-joe-medium", "smollm2-135m-instruct"):
        model(name)
    folder = tmp_path_factory.mktemp("archive")
    settings = Settings(
        models_dir=MODELS_DIR,
        audio_storage_dir=folder,
        database_url=f"sqlite+aiosqlite:///{folder}/parley.db",
        archive_keep_days=30,
        admin_key=KEY,
        reply_provider="embedded",
        reply_max_tokens=8,
    )
    async with open_service(settings) as service, served(service) as address:
        headers = {"authorization": f"Bearer {KEY}"}
        async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers, timeout=120) as http:
            recordings = {}
            for clip in (HANDS, COUNTRY):
                answer = await http.post("/recordings", content=clip.path.read_bytes())
                assert answer.status_code == 201, answer.text
                recordings[clip.name] = answer.json()["id"]
            conversation = (await http.post("/conversations", json={"title": "Umbrella"})).json()["id"]
            answer = await http.post(f"/conversations/{conversation}/messages", json={"text": "Will it rain?"})
            assert answer.status_code == 200, answer.text
            yield Archive(f"http://{address}", http, recordings, conversation)


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with open_browser(write_microphone(tmp_path_factory.mktemp("microphone") / "speech.wav")) as opened:
        yield opened


@pytest.fixture(scope="module")
def axe() -> str:
    return axe_script()


Open = Callable[..., Awaitable[Page]]


@pytest.fixture
async def open_page(browser: Browser, archive: Archive) -> AsyncIterator[Open]:
    """Opens the archive with a key; at the end, the console has no error but of requests that are refused."""
    said, contexts = [], []

    async def open_at(path: str = "/recordings.html", key: str | None = KEY, **options: Any) -> Page:
        contexts.append(await browser.new_context(accept_downloads=True, **{"locale": "en-GB", **options}))
        page = await contexts[-1].new_page()
        page.on("console", lambda line: said.append(line.text) if line.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        await page.add_init_script(f"({SOUND})()")
        await page.goto(archive.url + path)
        if key is not None:
            await page.locator(".key-question input").first.fill(key)
            await page.locator(".key-question button").first.click()
            await expect(page.locator(".key-question")).to_have_count(0)
        return page

    yield open_at
    for context in contexts:
        await context.close()
    assert [line for line in said if "Failed to load resource" not in line] == []


async def test_an_old_recording_is_found_by_a_word_and_played_from_it(open_page: Open, archive: Archive) -> None:
    """The search leaves one, the word that was searched for is marked, and a click plays the sound from there."""
    page = await open_page()
    await expect(page.locator("a.entry")).to_have_count(2)

    await page.get_by_role("searchbox").fill("evening")
    await expect(page.locator("a.entry")).to_have_count(1)
    await page.locator("a.entry").click()
    match = page.locator(".word.match")
    await expect(match).to_have_count(1)
    manifest = (await archive.http.get(f"/recordings/{archive.recordings[HANDS.name]}/manifest")).json()
    known = next(word for final in manifest["finals"] for word in final["words"] if "evening" in word["text"].lower())
    await match.click()

    await expect(page.locator(".player")).to_have_attribute("data-state", "pause")
    await expect(match).to_have_attribute("data-lit", "true")
    position = float(await page.get_by_role("slider").input_value())
    assert known["start"] / 16_000 - 0.1 <= position <= known["end"] / 16_000 + 0.5
    await expect(page.locator(".player")).to_have_attribute("data-state", "play", timeout=15_000)
    played = await page.evaluate("window.played")
    assert played["samples"] == manifest["samples"] - known["start"]
    assert played["loudest"] > 0.02
    ended_at = float(await page.get_by_role("slider").input_value())
    assert ended_at == pytest.approx(manifest["samples"] / 16_000, abs=0.11)


async def test_playing_asks_for_parts_of_the_audio_alone(open_page: Open, archive: Archive) -> None:
    """Each request for sound has a range; the words are lit one after the other."""
    page = await open_page(f"/recordings.html#recordings/{archive.recordings[COUNTRY.name]}")
    ranges: list[str | None] = []
    page.on("request", lambda each: ranges.append(each.headers.get("range")) if "/audio" in each.url else None)

    await page.locator(".word").first.wait_for()

    await page.keyboard.press("Space")
    await expect(page.locator(".word[data-lit]")).to_have_count(1)
    first = await page.locator(".word[data-lit]").get_attribute("data-at")
    await expect(page.locator(".word[data-lit]")).not_to_have_attribute("data-at", str(first))
    await page.keyboard.press("Space")

    await expect(page.locator(".player")).to_have_attribute("data-state", "play")
    assert ranges
    assert all(each and re.fullmatch(r"bytes=\d+-\d+", each) for each in ranges)


async def test_words_are_reached_by_the_keyboard(open_page: Open, archive: Archive) -> None:
    """One Tab stop for all words; arrows go on, Enter plays from the word that has the focus."""
    page = await open_page(f"/recordings.html#recordings/{archive.recordings[COUNTRY.name]}")
    await expect(page.locator(".word[tabindex='0']")).to_have_count(1)

    await page.locator(".word[tabindex='0']").focus()
    for _ in range(3):
        await page.keyboard.press("ArrowRight")
    focused = page.locator(".word:focus")
    await expect(focused).to_have_attribute("data-at", "3")
    await page.keyboard.press("Enter")

    await expect(page.locator(".player")).to_have_attribute("data-state", "pause")
    await page.keyboard.press("Space")
    await expect(page.locator(".player")).to_have_attribute("data-state", "play")


async def test_a_recording_says_who_may_listen_and_until_when(open_page: Open, archive: Archive) -> None:
    """The tenant, and the day after which it is deleted; the folder's store makes no links for others."""
    identifier = archive.recordings[COUNTRY.name]
    page = await open_page(f"/recordings.html#recordings/{identifier}")
    await expect(page.locator(".access")).to_contain_text("a key of default that may read recordings")
    kept = (await archive.http.get(f"/recordings/{identifier}/manifest")).headers["parley-kept-until"]

    await expect(page.locator(".access")).to_contain_text(f"Kept until {int(kept[-2:])} ")
    await page.get_by_role("button", name="Links").click()

    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("Address")).to_have_value(f"{archive.url}/recordings.html#recordings/{identifier}")
    await expect(dialog).to_contain_text("nobody can listen without a key")


async def test_transcript_and_audio_are_downloaded(open_page: Open, archive: Archive) -> None:
    """Subtitles and text of this page, audio of the server."""
    page = await open_page(f"/recordings.html#recordings/{archive.recordings[COUNTRY.name]}")
    contents = {}
    for item in ("Text", "Subtitles (SRT)", "Audio (MP3)"):
        await page.locator(".menu summary").click()
        async with page.expect_download() as download:
            await page.get_by_role("button", name=item, exact=True).click()
        contents[item] = await anyio.Path(await (await download.value).path()).read_bytes()

    assert b"my fellow americans" in contents["Text"].lower()
    assert contents["Subtitles (SRT)"].startswith(b"1\n00:00:0")
    assert all(len(line) <= 90 for line in contents["Subtitles (SRT)"].decode().splitlines())
    assert len(contents["Audio (MP3)"]) > 10_000


DROP = """([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (sign) => sign.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], name));
  for (const type of ["dragenter", "dragover", "drop"]) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


async def drop(page: Page, name: str, content: bytes) -> None:
    await page.evaluate(DROP, [name, base64.b64encode(content).decode()])


async def test_a_file_that_is_dropped_is_transcribed_and_deleted(open_page: Open, archive: Archive) -> None:
    """A line with a bar, then the recording, whose deletion has a receipt."""
    page = await open_page()
    await expect(page.locator("a.entry")).to_have_count(2)

    await drop(page, "hour.flac", HOUR.path.read_bytes())
    await expect(page.get_by_role("progressbar", name="hour.flac")).to_be_attached()
    await expect(page.locator(".upload")).to_have_attribute("data-stage", "done", timeout=90_000)
    await expect(page.locator("a.entry")).to_have_count(3)
    await page.locator(".upload-open").click()
    await expect(page.locator(".line-text").first).to_contain_text("paced up and down")

    await page.get_by_role("button", name="Delete recording").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(page.locator(".line-text").first).to_contain_text("paced up and down")
    await page.get_by_role("button", name="Delete recording").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete recording").click()
    await expect(page.locator("[data-state=receipt]")).to_contain_text("Gone for good")
    await expect(page.locator("a.entry")).to_have_count(2)


async def test_a_file_without_sound_says_what_to_do(open_page: Open) -> None:
    """In words, with the server's reason; the line can be dismissed."""
    page = await open_page()
    await drop(page, "notes.txt", b"These are only words. " * 40)

    await expect(page.locator(".upload")).to_have_attribute("data-stage", "failed", timeout=60_000)
    await expect(page.locator(".upload-text")).to_contain_text("Convert it to WAV, FLAC or MP3")
    await page.get_by_role("button", name="Dismiss").click()
    await expect(page.locator(".upload")).to_have_count(0)


async def test_an_upload_goes_on_after_a_lost_connection_and_can_be_cancelled(
    open_page: Open, archive: Archive
) -> None:
    """While nobody can be reached it waits; cancelled, nothing of it is left on the server."""
    page = await open_page()
    await expect(page.locator("a.entry")).to_have_count(2)
    before = len((await archive.http.get("/jobs")).json()["jobs"])

    await page.route(
        "**/recordings/uploads/*",
        lambda route: route.abort() if route.request.method != "DELETE" else route.continue_(),
    )
    await drop(page, "country.flac", COUNTRY.path.read_bytes())
    await expect(page.locator(".upload")).to_have_attribute("data-stage", "waiting")
    await expect(page.locator(".upload-text")).to_contain_text("It continues by itself")
    await page.get_by_role("button", name="Cancel").click()
    await expect(page.locator(".upload")).to_have_attribute("data-stage", "cancelled")
    jobs = (await archive.http.get("/jobs")).json()["jobs"]
    assert {job["state"] for job in jobs} <= {"done", "failed", "cancelled"}
    assert len(jobs) <= before + 1

    await page.unroute("**/recordings/uploads/*")
    await page.get_by_role("button", name="Dismiss").click()
    interrupted = []

    async def break_once(route: Any) -> None:
        if route.request.method == "PATCH" and not interrupted:
            interrupted.append(route.request.url)
            await route.abort()
        else:
            await route.continue_()

    await page.route("**/recordings/uploads/*", break_once)
    await drop(page, "country.flac", COUNTRY.path.read_bytes())
    await expect(page.locator(".upload")).to_have_attribute("data-stage", "done", timeout=90_000)
    assert interrupted
    identifier = (await page.locator(".upload-open").get_attribute("href") or "").split("/")[-1]
    assert (await archive.http.delete(f"/recordings/{identifier}")).status_code == 204


async def test_a_conversation_is_renamed_and_deleted(open_page: Open, archive: Archive) -> None:
    """Its title in the list and on the server; then it is gone, with a receipt."""
    conversation = (await archive.http.post("/conversations", json={"title": "Harbour"})).json()["id"]
    await archive.http.post(f"/conversations/{conversation}/messages", json={"text": "Is it windy?"})
    page = await open_page(f"/recordings.html#conversations/{conversation}")
    await expect(page.locator(".line-text").first).to_have_text("Is it windy?")

    await page.get_by_role("button", name="Rename").click()
    await page.get_by_label("Title").fill("Wind at the harbour")
    await page.keyboard.press("Enter")
    await expect(page.locator("h2#detail-title")).to_have_text("Wind at the harbour")
    await expect(page.locator("a.entry", has_text="Wind at the harbour")).to_be_visible()
    assert (await archive.http.get(f"/conversations/{conversation}")).json()["title"] == "Wind at the harbour"

    await page.get_by_role("button", name="Delete conversation").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete conversation").click()
    await expect(page.locator("[data-state=receipt]")).to_contain_text("2 messages")
    await expect(page.locator("a.entry", has_text="Wind at the harbour")).to_have_count(0)
    assert (await archive.http.get(f"/conversations/{conversation}")).status_code == 404


async def test_states_without_content_say_what_to_do(open_page: Open, archive: Archive) -> None:
    """Nothing found, nobody reached, a server that is full, a key without permission, a recording that is gone."""
    made = await archive.http.post("/admin/keys", json={"name": "speaker", "scopes": READER_SCOPES})
    page = await open_page("/recordings.html#recordings?text=zebra", key=None)
    await expect(page.locator("[data-state=key]").first).to_contain_text("A key is needed")
    await page.locator(".key-question input").first.fill(made.json()["key"])
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-state=forbidden]")).to_contain_text("recordings:read")
    await page.locator(".key-question input").fill(KEY)
    await page.keyboard.press("Enter")
    await expect(page.locator("[data-state=nothing]")).to_contain_text("All words must occur")

    await page.route("**/recordings?*", lambda route: route.abort())
    await page.get_by_role("searchbox").fill("horse")
    await expect(page.locator("[data-state=offline]")).to_contain_text("cannot be reached")
    await page.unroute("**/recordings?*")
    refusal = '{"code": "provider_busy", "message": "every place is taken"}'
    await page.route(
        "**/recordings?*", lambda route: route.fulfill(status=503, content_type="application/json", body=refusal)
    )
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("[data-state=full]")).to_contain_text("every place is taken")
    await page.unroute("**/recordings?*")
    await page.evaluate(f"location.hash = '#recordings/{'0' * 32}'")
    await expect(page.locator("#detail [data-state=absent]")).to_contain_text("not here any more")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_every_state_is_accessible_and_within_the_window(
    open_page: Open, archive: Archive, axe: str, theme: Any, size: str
) -> None:
    """No violation by axe-core in either theme, at any width; in German as well."""
    width, height = SIZES[size]
    page = await open_page(
        viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce", key=None
    )
    found: dict[str, list[str]] = {}

    async def look(name: str) -> None:
        await keep_picture(page, f"archive-{name}-{size}-{theme}", scale=0.5)
        found[name] = await violations(page, axe)

    await page.locator(".key-question").first.wait_for()
    await look("key")
    await page.locator(".key-question input").first.fill(KEY)
    await page.keyboard.press("Enter")
    await page.locator("a.entry").first.wait_for()
    await look("list")
    await page.evaluate(f"location.hash = '#recordings/{archive.recordings[COUNTRY.name]}?text=country&at=3'")
    await page.locator(".word.match").first.wait_for()
    await look("recording")
    await page.locator(".menu summary").click()
    await look("menu")
    await page.get_by_role("button", name="Delete recording").click()
    await look("question")
    await page.keyboard.press("Escape")
    await page.evaluate(f"location.hash = '#conversations/{archive.conversation}'")
    await page.locator(".line").first.wait_for()
    await look("conversation")
    await page.evaluate("location.hash = '#recordings?text=zebra'")
    await page.locator("[data-state=nothing]").wait_for()
    await page.evaluate("document.getElementById('filters').open = true")
    await drop(page, "no sound at all.txt", b"nothing" * 100)
    await page.locator(".upload[data-stage=failed]").wait_for(timeout=60_000)
    await look("nothing")
    await page.evaluate("localStorage.setItem('parley-settings', JSON.stringify({interface: 'de'}))")
    await page.evaluate(f"location.hash = '#recordings/{archive.recordings[HANDS.name]}'")
    await page.reload()
    await page.locator(".word").first.wait_for()
    await look("german")

    assert {name: each for name, each in found.items() if each} == {}
