"""Spans of OpenTelemetry: where the time of a turn or of a request went.

The API that is used here does nothing until an exporter is open (`app/assembly/tracing.py`). A span names engines,
routes, lengths and outcomes, never what was said.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TypeVar

from opentelemetry import trace
from opentelemetry.trace import Span, Status, StatusCode

Item = TypeVar("Item")

tracer = trace.get_tracer("parley")


def fail(span: Span, code: str) -> None:
    """What the span measured failed with this error code."""
    span.set_attribute("error.type", code)
    span.set_status(Status(StatusCode.ERROR))


def trace_id(span: Span) -> str:
    """32 hexadecimal digits; empty where nothing is traced."""
    context = span.get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def end_span(span: Span | None) -> None:
    """Where it has begun, and is not over yet."""
    if span is not None and span.is_recording():
        span.end()


async def until_first(name: str, items: AsyncGenerator[Item, None]) -> AsyncGenerator[Item, None]:
    """The same items; a span of this name lasts until the first of them is there."""
    span = tracer.start_span(name)
    try:
        async with aclosing(items):
            async for item in items:
                end_span(span)
                yield item
    finally:
        end_span(span)
