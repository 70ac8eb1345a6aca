"""Speech faster or slower at the same pitch, as a stream."""

from dataclasses import dataclass, field
from fractions import Fraction

import av
import numpy as np
from av.filter import Graph

MOST, LEAST = 2.0, 0.5
"""Of one filter; beyond it several stand in a row."""


@dataclass(slots=True)
class TempoChange:
    """Stateful: one per stream of mono PCM16. At speed 1, audio passes unchanged. Blocking."""

    speed: float
    """From 0.25 to 4: how much faster than it was spoken."""
    rate: int
    _graph: Graph | None = field(init=False, default=None)
    _samples: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        if self.speed != 1.0:
            self._graph = _graph(self.speed, self.rate)

    def push(self, pcm: bytes) -> bytes:
        """What these samples add to the stream; the filter holds some back."""
        if self._graph is None or not pcm:
            return pcm
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm, "<i2")[np.newaxis], format="s16", layout="mono")
        frame.sample_rate, frame.pts = self.rate, self._samples
        self._samples += frame.samples
        self._graph.push(frame)
        return self._pulled(self._graph)

    def finish(self) -> bytes:
        """What the filter holds, at the end of the stream."""
        if self._graph is None:
            return b""
        self._graph.push(None)
        return self._pulled(self._graph)

    def _pulled(self, graph: Graph) -> bytes:
        pieces = bytearray()
        while True:
            try:
                frame = graph.pull()
            except (av.BlockingIOError, av.EOFError):  # there is nothing more, for now or for good
                return bytes(pieces)
            assert isinstance(frame, av.AudioFrame)
            pieces += frame.to_ndarray().astype("<i2").tobytes()


def _graph(speed: float, rate: int) -> Graph:
    graph = Graph()
    last = graph.add_abuffer(format="s16", sample_rate=rate, layout="mono", time_base=Fraction(1, rate))
    for factor in _factors(speed):
        tempo = graph.add("atempo", str(factor))
        last.link_to(tempo)
        last = tempo
    sink = graph.add("abuffersink")
    last.link_to(sink)
    graph.configure()
    return graph


def _factors(speed: float) -> list[float]:
    """Each within the filter's range; their product is the speed."""
    factors = []
    while not LEAST <= speed <= MOST:
        step = MOST if speed > MOST else LEAST
        factors.append(step)
        speed /= step
    return [*factors, speed]
