"""What is known of a model's encoder on this processor, without opening the model."""

from pathlib import Path

from providers.local.asr.languages import is_moonshine
from providers.local.asr.moonshine.layout import DECODER_FILE
from providers.local.asr.transformer.encoder_choice import read_tests
from providers.local.asr.transformer.encoder_path import EncoderChoice, EncoderPath, choose_path
from providers.local.asr.transformer.graph_cache import published_graphs
from providers.local.asr.transformer.processor import describe_processor


def encoder_report(folder: Path, configured: str) -> str:
    """The encoder path that is set or that a test has chosen, and the processor. Raises OSError."""
    weights = DECODER_FILE if is_moonshine(folder) else "model.bin"
    tests = read_tests(published_graphs(folder, weights))
    if configured in {*EncoderPath}:
        choice = EncoderChoice(EncoderPath(configured), tests, is_set=True).describe()
    elif tests:
        choice = EncoderChoice(choose_path(tests), tests).describe()
    else:
        choice = "will be chosen at the first start"
    return f"encoder on {describe_processor()}: {choice}"
