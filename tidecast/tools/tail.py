"""Print forecasts and events, one per line."""

import json
import sys
from collections.abc import Iterator
from itertools import islice
from shutil import get_terminal_size
from typing import Any

from tidecast.moments import utc_text
from tidecast.wire import Event, Forecast
from tidecast.wire.event_text import event_line, flat_event

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
