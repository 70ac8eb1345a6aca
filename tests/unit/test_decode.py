"""Decoding of audio files: unusual ones are decoded, or refused as bad_audio; nothing else comes out."""

import io
from pathlib import Path

import pytest

from app.domain.errors import ClientError, ClientFault
from app.media.decode import decode, decode_chunks
from tests.clips import HANDS

INPUTS = Path(__file__).parents[1] / "inputs"


@pytest.mark.parametrize("name", ["wav-latin1-tag.wav", "mp3-id3v1-latin1.mp3"])
def test_latin_1_tag_does_not_matter(name):
    """Tags are not used: the audio is decoded as if there were none."""
    pcm = b"".join(decode(INPUTS / name))

    assert len(pcm) >= 16_000


@pytest.mark.parametrize("name", ["mp3-44100-stereo-then-48000-mono.mp3", "README.md"])
def test_undecodable_file_is_bad_audio(name):
    """Whatever FFmpeg and its bindings raise, in the middle too, comes out as one ClientError."""
    with pytest.raises(ClientError) as caught:
        list(decode(INPUTS / name))

    assert caught.value.code == ClientFault.BAD_AUDIO


class DefectiveFile(io.BytesIO):
    def read(self, _size: int | None = -1, /) -> bytes:
        raise ValueError("asked to fail")


def test_unforeseen_exception_while_decoding_is_bad_audio():
    """Which exceptions a file provokes is not ours to foresee."""
    with pytest.raises(ClientError) as caught:
        list(decode(DefectiveFile()))

    assert caught.value.code == ClientFault.BAD_AUDIO
    assert caught.value.__cause__ is not None


@pytest.mark.anyio
async def test_decode_chunks_follow_each_other():
    """From sample 0, without a gap, and they are the file's PCM."""
    chunks = [chunk async for chunk in decode_chunks(HANDS.path)]

    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks[:-1])]
    assert b"".join(chunk.pcm for chunk in chunks) == HANDS.pcm
