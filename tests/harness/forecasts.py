"""Forecasts as a worker sends them, and as they arrive on the stream."""

import json

from tidecast.wire import Forecast, Forecasts


def together(*forecasts: Forecast) -> Forecasts:
    """These as one batch; they have the same level."""
    made = Forecasts(forecasts[0].level) if forecasts else Forecasts()
    for name in Forecast.__slots__:
        if name not in ("level", "more", "anomaly"):
            setattr(made, name, [getattr(forecast, name) for forecast in forecasts])
    made.anomaly = [forecast.anomaly if forecast.anomaly is None else int(forecast.anomaly) for forecast in forecasts]
    names = dict.fromkeys(name for forecast in forecasts for name, _ in forecast.more)
    made.more |= {name: [dict(forecast.more).get(name) for forecast in forecasts] for name in names}
    return made


def entries(forecasts: Forecasts) -> list[tuple[str, dict[str, str]]]:
    """Return the ids and fields that the commit makes of a batch."""
    (_, ids), *fields = ((name, json.loads(texts)) for name, texts in forecasts.encode())
    named = [{name: texts[i] for name, texts in fields if texts[i] is not None} for i in range(len(ids))]
    return list(zip(ids, named, strict=True))


def sent(forecast: Forecast) -> dict[str, str]:
    """Return the fields of one forecast's entry."""
    ((_, fields),) = entries(together(forecast))
    return fields
