"""Decoding of audio files of unknown origin, and of our own."""

import io
import wave
from pathlib import Path

import pytest

from app.domain.audio import SAMPLE_RATE
from app.domain.errors import ClientError, ClientFault
from app.media.decode import decode, decode_chunks, decode_trusted
from app.media.plain_wav import read_plain_wav
from tests.clips import HANDS

INPUTS = Path(__file__).parents[1] / "inputs"


@pytest.mark.parametrize("name", ["wav-latin1-tag.wav", "mp3-id3v1-latin1.mp3"])
def test_a_tag_in_latin_1_does_not_matter(name):
    """Tags are not used: the audio is decoded as if there were none."""
    pcm = b"".join(decode(INPUTS / name))

    assert len(pcm) >= 16_000


@pytest.mark.parametrize("decoder", [decode, decode_trusted])
def test_what_cannot_be_decoded_is_bad_audio(decoder):
    """Whatever FFmpeg and its bindings raise, comes out as one ClientError."""
    with pytest.raises(ClientError) as caught:
        list(decoder(INPUTS / "README.md"))

    assert caught.value.code == ClientFault.BAD_AUDIO


class DefectiveFile(io.BytesIO):
    def read(self, _size: int | None = -1, /) -> bytes:
        raise ValueError("asked to fail")


def test_an_unforeseen_exception_while_decoding_is_bad_audio():
    """Which exceptions a file provokes is not ours to foresee."""
    with pytest.raises(ClientError) as caught:
        list(decode_trusted(DefectiveFile()))

    assert caught.value.code == ClientFault.BAD_AUDIO
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("name", ["10:30 meeting.flac", "file:x.flac", "concat:a|b.flac", "pipe:0", "data:x.flac"])
def test_a_file_name_is_never_taken_for_an_address(tmp_path, name):
    file = tmp_path / name
    file.write_bytes(HANDS.path.read_bytes())

    assert b"".join(decode(file)) == HANDS.pcm


def test_the_announced_length_comes_before_the_first_piece():
    lengths: list[int] = []

    pieces = decode(HANDS.path, on_length=lengths.append)
    next(pieces)
    pieces.close()

    assert lengths == [len(HANDS.pcm) // 2]


@pytest.mark.anyio
async def test_decoded_chunks_follow_each_other():
    """From sample 0, without a gap, and they are the file's PCM."""
    chunks = [chunk async for chunk in decode_chunks(HANDS.path)]

    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks[:-1])]
    assert b"".join(chunk.pcm for chunk in chunks) == HANDS.pcm


def wav_of(pcm: bytes, *, rate: int = SAMPLE_RATE, channels: int = 1) -> io.BytesIO:
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(channels)
        written.setsampwidth(2)
        written.setframerate(rate)
        written.writeframes(pcm)
    return file


def test_a_wav_in_the_services_own_format_is_read_without_a_decoder():
    pieces = read_plain_wav(wav_of(HANDS.pcm))

    assert pieces is not None
    assert b"".join(pieces) == HANDS.pcm


@pytest.mark.parametrize("options", [{"rate": 8000}, {"channels": 2}])
def test_any_other_wav_goes_to_the_decoder(options):
    assert read_plain_wav(wav_of(HANDS.pcm, **options)) is None


@pytest.mark.parametrize("cut", range(0, 60, 3))
def test_a_wav_cut_off_in_its_header_or_samples_gives_whole_samples(cut):
    pieces = read_plain_wav(io.BytesIO(wav_of(HANDS.pcm).getvalue()[:cut]))

    assert len(b"".join(pieces or ())) % 2 == 0


def test_a_wav_that_announces_more_than_it_has_gives_what_it_has():
    data = bytearray(wav_of(HANDS.pcm).getvalue())
    data[40:44] = (0xFFFFFFFF).to_bytes(4, "little")

    assert b"".join(read_plain_wav(io.BytesIO(data)) or ()) == HANDS.pcm


@pytest.mark.parametrize("opened", [False, True])
def test_chained_ogg_is_decoded_whole(opened):
    """The decoder's process begins at the file's first byte, wherever this one has read before."""
    path = INPUTS / "ogg-opus-chained-mono-then-stereo.ogg"

    pcm = b"".join(decode(io.BytesIO(path.read_bytes()) if opened else path))

    assert len(pcm) / 32_000 == pytest.approx(14.54, abs=0.05)
