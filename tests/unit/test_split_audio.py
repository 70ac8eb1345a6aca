"""PCM is split into chunks that follow each other."""

from hypothesis import given
from hypothesis import strategies as st

from app.domain.audio import AudioChunk, split_audio


@given(st.integers(0, 500), st.integers(1, 200), st.integers(0, 10_000))
def test_split_audio_covers_every_sample_once(samples, size, start):
    """Each chunk has the size asked for, only the last one may be shorter; positions go on from the first."""
    pcm = bytes(n % 251 for n in range(2 * samples))

    chunks = list(split_audio(AudioChunk(pcm, start), size))

    assert b"".join(chunk.pcm for chunk in chunks) == pcm
    assert [chunk.start for chunk in chunks] == [start + n * size for n in range(len(chunks))]
    assert all(chunk.samples == size for chunk in chunks[:-1])
    assert all(0 < chunk.samples <= size for chunk in chunks)
