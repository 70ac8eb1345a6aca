"""The cache of exported ONNX graphs, with several processes that start on one models folder."""

import fcntl
import os
from contextlib import ExitStack

import pytest

from providers.local.asr.transformer.errors import UnreadableCheckpoint
from providers.local.asr.transformer.graph_cache import CROSS_KV, DECODER, ENCODER, exported_graphs

GRAPHS = (ENCODER, CROSS_KV, DECODER)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.bin").write_bytes(b"weights")
    return folder


def export(model, folder):
    for name in GRAPHS:
        (folder / name).write_bytes((model / "model.bin").read_bytes())


def refuse(model, folder):
    raise AssertionError("must not be exported again")


def contents(folder):
    return {name: (folder / name).read_bytes() for name in GRAPHS}


def hidden(model):
    return sorted(one.name for one in model.glob(".*"))


def test_graphs_are_exported_once(model):
    """The second start finds them."""
    with exported_graphs(model, export) as first:
        pass

    with exported_graphs(model, refuse) as second:
        assert second == first
        assert set(contents(second).values()) == {b"weights"}


def test_graphs_being_opened_survive_another_process_that_publishes_later(model):
    """Both processes found no graphs and exported; the first has opened one of three files when the other is done."""
    with ExitStack() as first_process:
        opened = []

        def export_slowly(model, folder):
            opened.append(first_process.enter_context(exported_graphs(model, export)))
            opened.append((opened[0] / ENCODER).stat().st_ino)
            export(model, folder)

        with exported_graphs(model, export_slowly) as second:
            assert second == opened[0]
            assert (opened[0] / ENCODER).stat().st_ino == opened[1]
            assert set(contents(opened[0]).values()) == {b"weights"}

    assert hidden(model) == [opened[0].name]


def test_graphs_of_other_weights_stay_while_another_process_opens_them(model):
    """They are removed by the first start after that."""
    with exported_graphs(model, export) as old:
        (model / "model.bin").write_bytes(b"newer weights")
        with exported_graphs(model, export) as new:
            assert new != old
            assert set(contents(old).values()) == {b"weights"}
    (model / "model.bin").write_bytes(b"the newest weights")

    with exported_graphs(model, export) as newest:
        pass

    assert hidden(model) == [newest.name]


def test_interrupted_exports_and_older_versions_are_removed(model):
    """What a killed process left, and the graphs of the version before; an export under way is another's."""
    for name in (".exporting-killed", ".networks-1-7-6501", ".exporting-running"):
        (model / name).mkdir()
        (model / name / ENCODER).write_bytes(b"part")
    descriptor = os.open(model / ".exporting-running", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)

    with exported_graphs(model, export) as graphs:
        pass
    os.close(descriptor)

    assert hidden(model) == [".exporting-running", graphs.name]


def test_failed_export_leaves_nothing_behind(model):
    """The next start tries again."""

    def fail(model, folder):
        (folder / ENCODER).write_bytes(b"part")
        raise UnreadableCheckpoint("no such format")

    with pytest.raises(UnreadableCheckpoint, match="no such format"), exported_graphs(model, fail):
        pass

    assert hidden(model) == []
