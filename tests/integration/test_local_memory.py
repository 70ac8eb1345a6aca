"""The local engine out of memory: in a process of its own, under a real limit."""

import json
import subprocess
import sys
from textwrap import dedent

import pytest

from app.domain.errors import ProviderBusy, ProviderMisbehaved
from providers.local.errors import translate_errors
from tests.clips import HANDS, word_error_rate
from tests.models import model

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

    anyio.run(scene)
    print(json.dumps(results))
    """
)


@pytest.mark.models
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("spare", [16 << 20], ids=["none for the encoder"])
def test_out_of_memory_is_busy_for_one_session_and_no_other(spare):
    """The failing pass is one session's; the next session is served, and so is the first when memory is back."""
    done = subprocess.run(
        [sys.executable, "-c", SCENE, model("whisper-tiny.en"), str(spare)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert results["too long"][0] == "ProviderBusy"
    assert "no memory left" in results["too long"][1]
    assert word_error_rate(HANDS.words, results["beside it"]) <= 0.2
    assert len(results["afterwards"].split()) > 40


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
