"""The messages in Redis: readings in, forecasts and dead letters out.

Field names are lower-case ASCII, numbers are decimal text, and times in output are epoch milliseconds. Entries are
handled as bytes: one undecodable entry must not make a whole read fail.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidecast.wire.ids import foreign_entry
from tidecast.wire.steps import further_value

Fields = Mapping[bytes, bytes]

RESERVED = ("series", "ts")  # the fields of a reading that are not features
DISPOSITIONS = ("forecast", "duplicate", "late", "dead")  # every reading gets exactly one
REASONS = (  # the codes of dead letters
    "no_series",
    "bad_series",
    "no_value",
    "bad_value",
    "bad_ts",
    "future_ts",
    "too_large",
    "too_many_series",
    "wrong_partition",
    "poison",
)
MAX_ECHO_BYTES = 1024  # of each field quoted in a dead letter
MAX_ECHO_FIELDS = 32


def is_copy(fields: Mapping[bytes, bytes]) -> bool:
    """Return whether a forecast is the copy of one in another stream (`forecasts.merged`).

    The plain stream, which has the copies, may be that of a former partition. Readers of all partitions skip them.
    """
    return b"id" in fields


@dataclass(frozen=True, slots=True)
class Reading:
    """One parsed reading; `values` are in the order of the features, NaN where missing.

    Attributes:
        ts: epoch milliseconds.
        has_ts: whether it was sent with a time; otherwise `ts` is its time of arrival.
    """

    id: str
    series: str
    ts: int
    values: tuple[float, ...]
    has_ts: bool = True


@dataclass(frozen=True, slots=True)
class Forecast:
    """The forecast made at a reading, and the score of the earlier forecast that the reading settled.

    Attributes:
        id: the entry id of the reading.
        ts: the forecast time, epoch milliseconds; None while the series' step is unknown.
        yhat: the forecast, in the series' unit; `yhat_lower` and `yhat_upper` bound it with probability `level`,
            None while no error is known.
        origin: the reading's time, epoch milliseconds.
        model: the version of the model; None without a model.
        kind: the expert with the largest share, such as `lstm` or `naive`.
        y: the reading; `error` is `y` minus its earlier forecast, None if there was none.
        anomaly_score: |error| over that forecast's half-width, at most 1e9; above 1 exactly outside the interval.
        anomaly: whether an anomaly begins with the reading, by the rule of its series; None without a score.
        filled: how many of the values that the experts read are interpolated or replace a gross error.
        more: further fields by name: `yhat_lower_50` and `yhat_upper_50` of an interval of 50 %; with several steps
            `ts_2`, `yhat_2`, `yhat_2_lower`, `yhat_2_upper`, `yhat_2_lower_50` and so on. See `steps_of`.
    """

    id: str
    series: str
    ts: int | None
    yhat: float
    yhat_lower: float | None
    yhat_upper: float | None
    level: float
    origin: int
    model: int | None
    kind: str
    y: float
    error: float | None = None
    anomaly_score: float | None = None
    anomaly: bool | None = None
    filled: int = 0
    more: tuple[tuple[str, float], ...] = ()

    @classmethod
    def decode(cls, entry_id: bytes | str, fields: Fields) -> "Forecast":
        """Decode an entry of the `forecasts` stream.

        Raises:
            StreamError: the entry is not a forecast of a worker.
        """
        try:
            return cls._decode(entry_id, fields)
        except (KeyError, ValueError) as exc:
            raise foreign_entry(entry_id, "a forecast", exc) from exc

    @classmethod
    def _decode(cls, entry_id: bytes | str, fields: Fields) -> "Forecast":
        text = {name.decode(): value.decode() for name, value in fields.items()}

        def number(name: str) -> float | None:
            return float(text[name]) if name in text else None

        return cls(
            id=entry_id.decode() if isinstance(entry_id, bytes) else entry_id,
            series=text["series"],
            ts=int(text["ts"]) if "ts" in text else None,
            yhat=float(text["yhat"]),
            yhat_lower=number("yhat_lower"),
            yhat_upper=number("yhat_upper"),
            level=float(text["level"]),
            origin=int(text["origin"]),
            model=int(text["model"]) if "model" in text else None,
            kind=text["kind"],
            y=float(text["y"]),
            error=number("error"),
            anomaly_score=number("anomaly_score"),
            anomaly=text["anomaly"] == "1" if "anomaly" in text else None,
            filled=int(text.get("filled", "0")),
            more=tuple((name, value) for name in text if (value := further_value(name, text[name])) is not None),
        )


_FORECAST_FIELDS = tuple(name for name in Forecast.__slots__ if name not in ("id", "more"))
TEXTS = ("id", "series", "kind")  # the fields of a forecast that are not numbers


Column = Sequence[object] | NDArray[Any]  # the values of one field; None and NaN: not known


@dataclass(slots=True)
class Forecasts:
    """The forecasts of a batch, field by field, as they are made and sent; the attributes are those of `Forecast`.

    Iterating yields each as a `Forecast`.
    """

    level: float = math.nan  # the same for all forecasts
    id: Sequence[str] = ()
    series: Sequence[str] = ()
    ts: Column = ()
    yhat: Column = ()
    yhat_lower: Column = ()
    yhat_upper: Column = ()
    origin: Column = ()
    model: Column = ()
    kind: Sequence[str] = ()
    y: Column = ()
    error: Column = ()
    anomaly_score: Column = ()
    anomaly: Column = ()  # 0 and 1; None: not known
    filled: Column = ()
    more: dict[str, Column] = field(default_factory=dict)  # by the name of the field

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, i: int) -> Forecast:
        named = {name: _item(getattr(self, name), i) for name in _FORECAST_FIELDS if name != "level"}
        if named["anomaly"] is not None:
            named["anomaly"] = bool(named["anomaly"])
        more = ((name, _item(values, i)) for name, values in self.more.items())
        return Forecast(self.id[i], **named, level=self.level, more=tuple((n, v) for n, v in more if v is not None))

    def __iter__(self) -> Iterator[Forecast]:
        return map(self.__getitem__, range(len(self)))

    def columns(self) -> dict[str, Column]:
        """Return the values of each field that a forecast of the batch may have, by its name; the id comes first."""
        columns: dict[str, Column] = {name: getattr(self, name) for name in ("id", *_FORECAST_FIELDS)}
        columns["level"] = [self.level] * len(self)
        filled = np.asarray(self.filled)
        columns["filled"] = [number or None for number in filled.tolist()] if filled.any() else []
        return {name: values for name, values in (columns | self.more).items() if len(values)}


def _item(values: Column, i: int) -> Any:
    """Return one value of a field, None if it is not known, or not of any forecast."""
    if not len(values):
        return None
    value = values[i].item() if isinstance(values, np.ndarray) else values[i]
    return None if value != value else value


_ORIGINAL = b"original."  # before the name of a reading's field in a dead letter


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A reading that could not be processed.

    Attributes:
        id: the reading's entry id, which is the letter's own as well.
        reason: one of `REASONS`.
        detail: a sentence with the value and the remedy.
        fields: the reading's fields, each cut to a limit.
    """

    id: str
    reason: str
    detail: str
    fields: Fields

    @property
    def series(self) -> str:
        """Return the name of the reading's series; empty if it has none."""
        return self.fields.get(b"series", b"").decode(errors="backslashreplace")

    @property
    def is_cut(self) -> bool:
        """Return whether the reading may have had more or longer fields."""
        longest = max((max(len(name), len(value)) for name, value in self.fields.items()), default=0)
        return len(self.fields) >= MAX_ECHO_FIELDS or longest >= MAX_ECHO_BYTES

    def encode(self) -> list[str | bytes]:
        """Return the entry as a flat list; the original fields follow as `original.<name>`, cut to a limit."""
        flat: list[str | bytes] = ["id", self.id, "reason", self.reason, "detail", self.detail]
        for name, value in list(self.fields.items())[:MAX_ECHO_FIELDS]:
            flat += (_ORIGINAL + name[:MAX_ECHO_BYTES], value[:MAX_ECHO_BYTES])
        return flat

    @classmethod
    def decode(cls, entry_id: bytes | str, fields: Fields) -> "DeadLetter":
        """Decode an entry of the `dead` stream.

        Raises:
            StreamError: the entry is not a dead letter.
        """
        try:
            reason, detail = (fields[name].decode(errors="backslashreplace") for name in (b"reason", b"detail"))
        except KeyError as exc:
            raise foreign_entry(entry_id, "a dead letter", exc) from exc
        sent = {name.removeprefix(_ORIGINAL): value for name, value in fields.items() if name.startswith(_ORIGINAL)}
        return cls(entry_id.decode() if isinstance(entry_id, bytes) else entry_id, reason, detail, sent)
