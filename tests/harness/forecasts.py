"""Forecasts as a worker sends them, and as they arrive on the stream."""

import json

from tidecast.wire import Forecast, Forecasts


def together(*forecasts: Forecast) -> Forecasts:
    """These as one batch; they have the same level."""
    made = Forecasts(forecasts[0].level) if forecasts else Forecasts()
    for name in Forecast.__slots__:
        if name not in ("level", "more"):
            setattr(made, name, [getattr(one, name) for one in forecasts])
    names = dict.fromkeys(name for one in forecasts for name, _ in one.more)
    made.more = {name: [dict(one.more).get(name) for one in forecasts] for name in names}
    return made


def entries(forecasts: Forecasts) -> list[tuple[str, dict[str, str]]]:
    """The ids and fields that the commit makes of a batch."""
    (_, ids), *fields = ((name, json.loads(texts)) for name, texts in forecasts.encode())
    named = [{name: texts[i] for name, texts in fields if texts[i] is not None} for i in range(len(ids))]
    return list(zip(ids, named, strict=True))


def sent(forecast: Forecast) -> dict[str, str]:
    """The fields of one forecast's entry."""
    ((_, fields),) = entries(together(forecast))
    return fields
