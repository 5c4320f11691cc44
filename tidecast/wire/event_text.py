"""Format an event for people: one line of text, or one flat dict."""

from collections.abc import Iterator
from typing import Any

from tidecast.durations import duration_text
from tidecast.moments import utc_text
from tidecast.wire.events import DRIFTS, Event
from tidecast.wire.ids import id_pair

APART_MS = 60_000  # a reading's own time this far from the time of the commit is shown


def flat_event(event: Event) -> dict[str, Any]:
    """Return the fields of an event as one dict, including its facts."""
    fields = {name: getattr(event, name) for name in Event.__slots__ if name != "facts"}
    return fields | dict(event.facts)


def event_line(event: Event, width: int | None = None) -> str:
    """Format an event as text: `2026-03-01T03:00:10Z  anomaly begins  boiler-7  84.2, expected 42.4, once in 9,500`.

    The time is that of the commit. Where the reading's own time is another one, as in a history, it is added.

    Args:
        event: an event with an id.
        width: the most characters of the line; None: no limit.
    """
    of = "" if event.series is None else f"  {event.series}" + (f" v{event.version}" if event.version else "")
    kind = f"{event.kind} {event.facts['phase']}" if "phase" in event.facts else event.kind
    written_ms = id_pair(event.id)[0]
    figures = ", ".join(_figures(event)) or event.detail
    ts = event.facts.get("ts")
    at = f" (at {utc_text(ts)})" if isinstance(ts, float | int) and abs(written_ms - ts) > APART_MS else ""
    line = f"{utc_text(written_ms)}  {kind}{of}  {figures}{at}"
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def _figures(event: Event) -> Iterator[str]:
    """Yield the most important facts; the detail has them in a sentence."""
    facts = event.facts
    lasted = duration_text(int(facts["duration_ms"]) // 1000) if "duration_ms" in facts else ""
    if event.kind == "silent" and lasted:
        yield f"no reading for {lasted}"
    elif event.kind == "stuck" and lasted and "value" in facts:
        within = f" within {facts['within']:.3g}" if "within" in facts else ""
        yield f"{facts['value']:.6g}, unchanged{within} for {lasted}"
    elif event.kind == "level_changed" and {"old", "new"} <= set(facts):
        pace = "slowly " if facts.get("pace") == "slow" else ""
        yield f"{pace}from {facts['old']:.6g} to {facts['new']:.6g}" + (f", {lasted} ago" if lasted else "")
    elif "value" in facts and event.kind not in DRIFTS:
        yield f"{facts['value']:.6g}"
        if lasted:  # a condition has ended
            yield f"after {lasted}"
        elif "expected" in facts:
            yield f"expected {facts['expected']:.6g}"
        if "score" in facts and not lasted:
            yield f"once in {_count_text(facts['score'])} readings"


def _count_text(count: Any) -> str:
    """Return a large number in words: `9,500`, `64 million`."""
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if count >= size:
            return f"{count / size:.3g} {word}" if count < 1000 * size else f"over 1,000 {word}"
    return f"{count:,.0f}"
