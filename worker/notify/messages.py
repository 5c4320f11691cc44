"""Build the bodies of messages: the plain form, and alerts of Alertmanager's API v2."""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from tidecast.durations import DAY_MS
from tidecast.moments import utc_text
from tidecast.wire import Event, id_pair
from tidecast.wire.event_text import event_line, flat_event

CLOSES = {"unstuck": "stuck", "back": "silent"}  # a kind that ends a condition, and the kind that began it
CONDITIONS = ("anomaly", "stuck", "silent")  # they last until an event ends them
REMOVALS = ("series_deleted", "series_expired", "series_renamed")  # they end all conditions of a series
LASTS_MS = 30 * DAY_MS  # Alertmanager ends an alert without an end after some minutes


def body_of(form: str, events: Sequence[Event], namespace: str, now_ms: int) -> bytes:
    """Return the JSON body of a message.

    Args:
        form: `plain` or `alertmanager`.
        events: the events, in the order of their times.
        namespace: that of the installation, empty for none.
        now_ms: the time of sending, epoch milliseconds.
    """
    if form == "alertmanager":
        return orjson.dumps([alert for event in events for alert in _alerts(event, namespace, now_ms)])
    text = "\n".join(event_line(event) for event in events)
    listed = [{"time": utc_text(_time_ms(event)), **flat_event(event)} for event in events]
    return orjson.dumps({"text": text, "namespace": namespace, "events": listed})


def kinds_posted(form: str, kinds: Sequence[str]) -> frozenset[str]:
    """Return the kinds of events to post: an alert that has begun must be able to end."""
    if form != "alertmanager":
        return frozenset(kinds)
    ends = {end for end, begin in CLOSES.items() if begin in kinds}
    return frozenset(kinds) | ends | set(REMOVALS if set(kinds) & set(CONDITIONS) else ())


def ends_condition(event: Event) -> bool:
    """Return whether an event ends a condition, so that an alert about it must end too."""
    return event.kind in CLOSES or event.kind in REMOVALS or event.facts.get("phase") == "ends"


def _alerts(event: Event, namespace: str, now_ms: int) -> Iterator[dict[str, Any]]:
    """Yield the alerts that begin or end with an event; the labels of both are the same."""
    begun = CLOSES.get(event.kind, event.kind)
    series = str(event.facts.get("old", event.series)) if event.kind == "series_renamed" else event.series
    for kind in CONDITIONS if event.kind in REMOVALS else (begun,):
        labels = {"alertname": f"Tidecast{_camel(kind)}", "severity": "warning"}
        labels |= {"series": series} if series is not None else {}
        labels |= {"tidecast_namespace": namespace} if namespace else {}
        annotations = {"summary": event.detail} | {name: str(value) for name, value in event.facts.items()}
        yield {"labels": labels, "annotations": annotations, **_span(event, now_ms)}


def _span(event: Event, now_ms: int) -> dict[str, str]:
    """Return the beginning and the end of an alert."""
    happened_ms = int(event.facts.get("ts", _time_ms(event)))
    begun_ms = min(now_ms, int(event.facts.get("since", happened_ms)))
    if ends_condition(event):
        return {"startsAt": utc_text(begun_ms), "endsAt": utc_text(min(now_ms, max(happened_ms, begun_ms)))}
    if event.kind in CONDITIONS:
        return {"startsAt": utc_text(begun_ms), "endsAt": utc_text(now_ms + LASTS_MS)}
    return {"startsAt": utc_text(begun_ms)}


def _time_ms(event: Event) -> int:
    return id_pair(event.id)[0]


def _camel(kind: str) -> str:
    return "".join(part.capitalize() for part in kind.split("_"))
