"""Forecasts as a worker sends them, and as they arrive on the stream."""

from tidecast.online.kernels.redis_arguments import arguments_in
from tidecast.online.series.forecast_encoder import encoded
from tidecast.wire import Forecast, Forecasts

STRING = 0xDA  # the type of a string with a length of two bytes


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
    return [_entry(argument) for argument in arguments_in(encoded(forecasts))]


def _entry(argument: bytes) -> tuple[str, dict[str, str]]:
    """Unpack an id, and names and values in turn: strings of MessagePack."""
    texts = []
    at = 0
    while at < len(argument):
        is_long = argument[at] == STRING
        length = int.from_bytes(argument[at + 1 : at + 3]) if is_long else argument[at] & 31
        begin = at + (3 if is_long else 1)
        texts.append(argument[begin : begin + length].decode())
        at = begin + length
    return texts[0], dict(zip(texts[1::2], texts[2::2], strict=True))


def sent(forecast: Forecast) -> dict[str, str]:
    """Return the fields of one forecast's entry."""
    ((_, fields),) = entries(together(forecast))
    return fields
