"""Draws simulation results as one SVG: shares of the routes, latencies, dollars."""

from collections.abc import Sequence
from html import escape

from app.domain.percentile import percentile
from app.policy.simulation import SimulationResult

WIDTH, HEIGHT, GAP, LEFT = 720, 120, 34, 60
COLOURS = ("#4c78a8", "#f58518", "#54a24b", "#b279a2", "#e45756", "#72b7b2")


def plot(results: Sequence[SimulationResult], seconds: float) -> str:
    """Three panels a policy: shares of the routes, p50 and p95, dollars so far."""
    names = sorted({name for result in results for name in result.finals})
    colours = {name: COLOURS[at % len(COLOURS)] for at, name in enumerate(names)}
    parts, y = [_legend(colours)], 40
    for result in results:
        title = f"{result.rules}: p95 {result.latency_ms(0.95):.0f} ms, ${result.usd:.2f}, {result.lost} lost"
        parts.append(f'<text x="{LEFT}" y="{y - 6}" font-weight="bold">{escape(title)}</text>')
        for panel in (_shares(result, colours, seconds), _times(result, seconds), _money(result, seconds)):
            parts.append(f'<g transform="translate({LEFT},{y})">{panel}</g>')
            y += HEIGHT + GAP
        y += 10
    size = f'width="{LEFT + WIDTH + 20}" height="{y}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">{"".join(parts)}</svg>'
    )


def _legend(colours: dict[str, str]) -> str:
    return "".join(
        f'<rect x="{LEFT + 120 * at}" y="6" width="12" height="12" fill="{colour}"/>'
        f'<text x="{LEFT + 18 + 120 * at}" y="16">{escape(name)}</text>'
        for at, (name, colour) in enumerate(colours.items())
    )


def _shares(result: SimulationResult, colours: dict[str, str], seconds: float) -> str:
    bars, step = [], WIDTH / max(1, int(seconds))
    for second, finals in result.finals_by_second.items():
        y, total = float(HEIGHT), sum(finals.values())
        for name, number in sorted(finals.items()):
            height = HEIGHT * number / total
            y -= height
            bars.append(
                f'<rect x="{second * step:.1f}" y="{y:.1f}" width="{step:.2f}" height="{height:.1f}" '
                f'fill="{colours[name]}"/>'
            )
    return _axes("share", "100 %") + "".join(bars)


def _times(result: SimulationResult, seconds: float) -> str:
    lines = [
        [percentile(result.latencies_by_second[s], share) or 0.0 for s in sorted(result.latencies_by_second)]
        for share in (0.5, 0.95)
    ]
    top = max((*lines[0], *lines[1], 1.0))
    drawn = "".join(
        _line(line, top, seconds, colour) for line, colour in zip(lines, ("#4c78a8", "#e45756"), strict=True)
    )
    return _axes("p50, p95", f"{top:.0f} ms") + drawn


def _money(result: SimulationResult, seconds: float) -> str:
    total, line = 0.0, []
    for second in range(int(seconds)):
        total += result.usd_by_second.get(second, 0.0)
        line.append(total)
    return _axes("dollars", f"${total:.2f}") + _line(line, max(total, 1e-9), seconds, "#54a24b")


def _line(values: Sequence[float], top: float, seconds: float, colour: str) -> str:
    step = WIDTH / max(1, int(seconds))
    points = " ".join(f"{at * step:.1f},{HEIGHT - HEIGHT * value / top:.1f}" for at, value in enumerate(values))
    return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _axes(what: str, top: str) -> str:
    frame = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="none" stroke="#ccc"/>'
    left = 'x="-6" text-anchor="end"'
    return f'{frame}<text {left} y="10">{top}</text><text {left} y="{HEIGHT}">{what}</text>'
