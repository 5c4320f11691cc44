"""Print forecasts and events, one per line."""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from shutil import get_terminal_size
from typing import Any

from tidecast.durations import duration_text
from tidecast.moments import utc_text
from tidecast.wire import Event, Forecast, id_pair

_FIELDS = tuple(name for name in Forecast.__slots__ if name != "more")  # `asdict` takes fourteen times as long


def follow(forecasts: Iterator[Forecast], count: int | None, *, as_json: bool) -> None:
    """Print forecasts as they come, at most `count`."""
    for forecast in islice(forecasts, count):
        print(json.dumps(flat(forecast)) if as_json else line(forecast), flush=True)


def follow_events(events: Iterator[Event], count: int | None, *, as_json: bool) -> None:
    """Print events as they come, at most `count`; on a terminal a line has at most its width."""
    width = get_terminal_size().columns if sys.stdout.isatty() else None
    for event in islice(events, count):
        print(json.dumps(flat_event(event)) if as_json else event_line(event, width), flush=True)


def flat_event(event: Event) -> dict[str, Any]:
    """Return the fields of an event as one dict, including its facts."""
    fields = {name: getattr(event, name) for name in Event.__slots__ if name != "facts"}
    return fields | dict(event.facts)


def event_line(event: Event, width: int | None = None) -> str:
    """Format an event as text: `2026-03-01T03:00:10Z  anomaly begins  boiler-7  84.2, expected 42.4, score 9.5`.

    Args:
        event: the event.
        width: the most characters of the line; None: no limit.
    """
    of = "" if event.series is None else f"  {event.series}" + (f" v{event.version}" if event.version else "")
    kind = " ".join((event.kind, *(str(event.facts[name]) for name in ("phase",) if name in event.facts)))
    line = f"{utc_text(id_pair(event.id)[0])}  {kind}{of}  {', '.join(_figures(event)) or event.detail}"
    return line if width is None or len(line) <= width else f"{line[: width - 1]}…"


def _figures(event: Event) -> Iterator[str]:
    """Yield the facts that tell how large a change is; the detail has them in a sentence."""
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


def flat(forecast: Forecast) -> dict[str, Any]:
    """Return the fields of a forecast as one dict, including further intervals and steps."""
    return {name: getattr(forecast, name) for name in _FIELDS} | dict(forecast.more)


def line(forecast: Forecast) -> str:
    """Format a forecast as text: `boiler-7  14:05:00  42.1 -> 42.4 [41.0, 43.8]  lstm v3`."""
    bounds = ""
    if forecast.yhat_lower is not None and forecast.yhat_upper is not None:
        bounds = f" [{forecast.yhat_lower:.6g}, {forecast.yhat_upper:.6g}]"
    version = f" v{forecast.model}" if forecast.model else ""
    origin = utc_text(forecast.origin)
    return f"{forecast.series}  {origin}  {forecast.y:.6g} -> {forecast.yhat:.6g}{bounds}  {forecast.kind}{version}"
