import io
import os
import subprocess
import sys
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ClientError, ClientFault
from app.media.decoder_process import Decoder, ogg_links
from app.media.sandbox import LIMITS, DecodingLimits, decode_sandboxed

INPUTS = Path(__file__).parents[1] / "inputs"


def decoded(file, *, limits=LIMITS, on_warning=lambda _: None, on_length=lambda _: None):
    return decode_sandboxed(file, "the upload", limits=limits, on_warning=on_warning, on_length=on_length)


def seconds(name: str | Path, **more) -> float:
    with (INPUTS / name).open("rb") as file:
        return sum(map(len, decoded(file, **more))) / 2 / SAMPLE_RATE


def wav(folder: Path, *, channels: int, samples: np.ndarray, rate: int = 16_000) -> Path:
    path = folder / f"{channels}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(samples, channels).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(
    ("name", "at_least"),
    [
        ("aac-adts-cut-at-60-percent.aac", 2.0),
        ("m4a-one-byte-flipped.m4a", 3.4),
        ("mp3-300-random-bytes-in-the-middle.mp3", 3.2),
        ("mp3-3000-zero-bytes-at-the-end.mp3", 3.5),
        ("mp3-two-files-one-behind-the-other.mp3", 7.0),
    ],
)
def test_damage_is_skipped_with_a_warning_and_the_audio_around_it_is_kept(name, at_least):
    warnings: list[str] = []

    kept = seconds(name, on_warning=warnings.append)

    assert kept >= at_least
    assert warnings == ["1 damaged piece was skipped"]


def test_several_damaged_pieces_are_one_warning_with_their_number(tmp_path):
    damaged = (INPUTS / "mp3-300-random-bytes-in-the-middle.mp3").read_bytes()
    (tmp_path / "twice.mp3").write_bytes(damaged + damaged)
    warnings: list[str] = []

    seconds(tmp_path / "twice.mp3", on_warning=warnings.append)

    assert warnings == ["3 damaged pieces were skipped"]


@pytest.mark.parametrize("name", ["mp3-id3v1-latin1.mp3", "wav-latin1-tag.wav"])
def test_tags_in_any_encoding_are_ignored(name):
    assert seconds(name) >= 2.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mp3-44100-stereo-then-48000-mono.mp3", 7.16), ("ogg-opus-chained-mono-then-stereo.ogg", 14.54)],
)
def test_changes_of_rate_and_channels_inside_a_file_are_followed(name, expected):
    assert seconds(name) == pytest.approx(expected, abs=0.05)


def test_audio_that_starts_late_in_its_container_keeps_its_time(tmp_path):
    with (INPUTS / "mp4-sound-starts-at-5s.mp4").open("rb") as file:
        pcm = np.frombuffer(b"".join(decoded(file)), "<i2")

    assert len(pcm) / SAMPLE_RATE == pytest.approx(8.58, abs=0.05)
    assert not pcm[: int(4.9 * SAMPLE_RATE)].any()
    assert pcm[5 * SAMPLE_RATE :].any()


@pytest.mark.parametrize("channels", [1, 2, 6, 8, 9, 22, 64])
def test_any_number_of_channels_is_mixed_to_one(tmp_path, channels):
    tone = (8000 * np.sin(np.arange(SAMPLE_RATE) / 10)).astype("<i2")

    with wav(tmp_path, channels=channels, samples=tone).open("rb") as file:
        pcm = np.frombuffer(b"".join(decoded(file)), "<i2")

    assert len(pcm) == pytest.approx(SAMPLE_RATE, abs=20)
    assert np.abs(pcm).max() > 2000


def refusal(file, **limits) -> str:
    with pytest.raises(ClientError) as caught:
        list(decoded(file, limits=DecodingLimits(**limits)))
    assert caught.value.code is ClientFault.BAD_AUDIO
    return str(caught.value)


@pytest.mark.parametrize("name", ["ffconcat-reads-other-file.txt", "sdp-binds-udp.txt", "README.md"])
def test_playlists_and_other_files_are_refused(name):
    with (INPUTS / name).open("rb") as file:
        assert "cannot read the upload as audio" in refusal(file)


def test_an_ffconcat_that_names_a_real_file_reads_nothing_of_it(tmp_path, monkeypatch):
    wav(tmp_path, channels=1, samples=np.ones(SAMPLE_RATE))
    monkeypatch.chdir(tmp_path)
    playlist = tmp_path / "list.txt"
    playlist.write_text("ffconcat version 1.0\nfile '1.wav'\n")

    with playlist.open("rb") as file:
        assert "cannot read" in refusal(file)


def test_a_sample_rate_below_speech_is_refused():
    with (INPUTS / "wav-1hz-6000s.wav").open("rb") as file:
        assert "its sample rate is 1 Hz; at least 4000 Hz is needed" in refusal(file)


@pytest.fixture(scope="module")
def an_hour_of_silence(tmp_path_factory) -> Path:
    """Under a megabyte of FLAC."""
    path = tmp_path_factory.mktemp("bomb") / "silence.flac"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("flac", rate=SAMPLE_RATE, layout="mono")
        minute = np.zeros((1, 60 * SAMPLE_RATE), dtype=np.int16)
        for _ in range(60):
            frame = av.AudioFrame.from_ndarray(minute, format="s16", layout="mono")
            frame.sample_rate = SAMPLE_RATE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_file_longer_than_the_limit_is_refused(an_hour_of_silence):
    with an_hour_of_silence.open("rb") as file:
        assert "it is longer than 0.5 hours" in refusal(file, longest_s=1800.0)


def test_a_decoder_that_exceeds_its_cpu_time_is_killed(an_hour_of_silence):
    with an_hour_of_silence.open("rb") as file:
        assert "too much memory or time" in refusal(file, cpu_s=0)


def test_a_decoder_that_exceeds_its_memory_is_refused(an_hour_of_silence):
    with an_hour_of_silence.open("rb") as file:
        assert "cannot read the upload as audio" in refusal(file, memory=64 << 20)


def test_closing_the_generator_early_ends_the_child(an_hour_of_silence):
    with an_hour_of_silence.open("rb") as file:
        pieces = decoded(file)
        next(pieces)
        pieces.close()

    children = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "decoder_process.py"], capture_output=True, text=True, check=False
    )
    assert children.stdout == ""


def test_the_child_can_open_no_file_once_it_decodes(tmp_path):
    program = (
        "from app.media.decoder_process import drop_privileges, import_everything\n"
        "import socket\n"
        "import_everything()\n"
        "drop_privileges(2 << 30, 60)\n"
        "for attempt in (lambda: open('/etc/hostname'), socket.socket):\n"
        "    try:\n"
        "        attempt()\n"
        "    except OSError as error:\n"
        "        print(error.errno)\n"
    )

    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert run.stdout.split() == ["24", "24"]


def test_a_chained_ogg_is_split_where_a_new_link_begins():
    data = (INPUTS / "ogg-opus-chained-mono-then-stereo.ogg").read_bytes()

    parts = ogg_links(io.BufferedReader(io.BytesIO(data)))

    assert [part.read(4) for part in parts] == [b"OggS", b"OggS"]
    assert sum(len(part.read()) + 4 for part in parts) == len(data)


def test_the_decoder_runs_in_process_too():
    with (INPUTS / "mp3-id3v1-latin1.mp3").open("rb") as file:
        decoder = Decoder(SAMPLE_RATE, 4000, 60.0)

        assert sum(map(len, decoder.pcm(file))) // 2 == decoder.written
