"""Format an event for people: one line of text, or one flat dict."""

from collections.abc import Iterator
from typing import Any

from tidecast.durations import duration_text
from tidecast.moments import utc_text
from tidecast.wire.events import Event
from tidecast.wire.messages import id_pair


def flat_event(event: Event) -> dict[str, Any]:
    """Return the fields of an event as one dict, including its facts."""
    fields = {name: getattr(event, name) for name in Event.__slots__ if name != "facts"}
    return fields | dict(event.facts)


def event_line(event: Event, width: int | None = None) -> str:
    """Format an event as text: `2026-03-01T03:00:10Z  anomaly begins  boiler-7  84.2, expected 42.4, score 9.5`.

    Args:
        event: an event with an id.
        width: the most characters of the line; None: no limit.
    """
    of = "" if event.series is None else f"  {event.series}" + (f" v{event.version}" if event.version else "")
    kind = f"{event.kind} {event.facts['phase']}" if "phase" in event.facts else event.kind
    line = f"{utc_text(id_pair(event.id)[0])}  {kind}{of}  {', '.join(_figures(event)) or event.detail}"
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def _figures(event: Event) -> Iterator[str]:
    """Yield the most important facts; the detail has them in a sentence."""
    facts = event.facts
    if "value" in facts:
        yield f"{facts['value']:.6g}"
    for name in ("expected", "score"):
        if name in facts:
            yield f"{name} {facts[name]:.6g}"
    if event.kind == "level_changed" and {"old", "new"} <= set(facts):
        yield f"level {facts['old']:.6g} -> {facts['new']:.6g}"
    if "duration_ms" in facts:
        yield f"for {duration_text(int(facts['duration_ms']) // 1000)}"
