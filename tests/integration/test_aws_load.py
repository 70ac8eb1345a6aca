"""What streams cost us, as an order of magnitude; `bench/aws_streams.py` measures it properly."""

import pytest

from bench.aws_streams import emulator, overhead, processor_share
from providers.aws.transcribe import open_transcribe
from tests.emulators.account import aws_account

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_thirty_streams_cost_a_part_of_a_core_and_a_final_costs_milliseconds() -> None:
    """A machine busy with other things gets twice the 25 % that are the goal; the bare client would take a core."""
    with aws_account(), emulator() as url:
        async with open_transcribe(region="us-east-1", endpoint_url=url, max_streams=35) as engine:
            waited = await overhead(engine, utterances=30)
            share = await processor_share(engine, streams=30, seconds=6)

    assert waited.p50 < 10
    assert share < 0.5
