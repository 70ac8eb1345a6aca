"""The local engine out of memory: in a process of its own, under a real limit."""

import json
import os
import subprocess
import sys
from textwrap import dedent

import pytest

from app.domain.errors import ProviderBusy, ProviderMisbehaved
from providers.local.errors import translate_errors
from tests.clips import HANDS, word_error_rate
from tests.models import model

EXACT_MALLOC = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "65536",
    "MALLOC_TRIM_THRESHOLD_": "65536",
}
"""glibc gives back what is freed: no pass lives on the memory of the one before it."""

SCENE = dedent(
    """
    import json, resource, sys
    from contextlib import aclosing
    from pathlib import Path
    import anyio
    from app.domain.audio import AudioChunk
    from app.domain.errors import ParleyError
    from providers.local.asr.engine import open_speech_engine
    from tests.clips import COUNTRY, HANDS

    LONG = (COUNTRY.pcm * 3)[: 27 * 32_000]
    results = {}

    async def once(pcm):
        yield AudioChunk(pcm, 0)

    async def final(engine, name, pcm):
        try:
            async with aclosing(engine.transcribe(once(pcm), language="en")) as hypotheses:
                results[name] = [one.text async for one in hypotheses][-1]
        except ParleyError as error:
            results[name] = [type(error).__name__, str(error)]

    async def scene():
        async with open_speech_engine(model=Path(sys.argv[1]), device="cpu") as engine:
            await final(engine, "before", HANDS.pcm)
            limits = resource.getrlimit(resource.RLIMIT_AS)
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[2]), limits[1]))
            async with anyio.create_task_group() as sessions:
                sessions.start_soon(final, engine, "too long", LONG)
                sessions.start_soon(final, engine, "beside it", HANDS.pcm)
            resource.setrlimit(resource.RLIMIT_AS, limits)
            await final(engine, "afterwards", LONG)
            await final(engine, "short afterwards", HANDS.pcm)

    anyio.run(scene)
    print(json.dumps(results))
    """
)


@pytest.mark.models
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("name", ["whisper-tiny.en", "moonshine-base-en"])
def test_out_of_memory_is_busy_and_both_sessions_are_served_afterwards(name):
    """What does not fit is refused as busy, a short utterance beside it perhaps, too; nothing hangs or stays broken."""
    done = subprocess.run(
        [sys.executable, "-c", SCENE, model(name), str(16 << 20)],
        env=os.environ | EXACT_MALLOC,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["too long"][0] == "ProviderBusy"
    assert "no memory left" in results["too long"][1]
    beside = results["beside it"]
    assert beside[0] == "ProviderBusy" or word_error_rate(HANDS.words, beside) <= 0.2
    assert len(results["afterwards"].split()) > 40
    assert word_error_rate(HANDS.words, results["short afterwards"]) <= 0.2


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (MemoryError("std::bad_alloc"), ProviderBusy),
        (RuntimeError("mkl_malloc: failed to allocate memory"), ProviderBusy),
        (RuntimeError("CUDA failed with error out of memory"), ProviderBusy),
        (RuntimeError("cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED"), ProviderBusy),
        (RuntimeError("CUDA failed with error unknown error"), ProviderMisbehaved),
    ],
    ids=str,
)
def test_errors_of_inference_libraries_are_translated(raised, becomes):
    """No memory is a matter of the moment; anything else is a fault. The cause is kept."""
    with pytest.raises(becomes) as caught, translate_errors():
        raise raised

    assert caught.value.__cause__ is raised
