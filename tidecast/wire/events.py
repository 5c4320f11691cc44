"""The events in Redis, on series, models and retraining runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tidecast.wire.ids import foreign_entry

EVENTS = (  # the kinds of events
    "series_created",  # first reading of a series received
    "series_deleted",
    "series_renamed",
    "series_expired",  # deleted after a long silence
    "anomaly",  # an anomaly begins or ends
    "stuck",  # the value has not changed, or hardly, for longer than ever before
    "unstuck",
    "silent",  # no reading for several steps
    "back",  # a silent series has sent a reading
    "level_changed",  # a series has moved to another level for good
    "drift",  # a series has changed otherwise since its model was trained
    "model_degraded",  # the series' own LSTM has lost its weight in the forecast
    "expert_failed",  # an expert of the user's own raised an error, answered too late or gave no number
    "muted",  # a user wants no notification about a series
    "unmuted",
    "repartition",  # the number of partitions begins or ends to change
    "started",  # a scheduled retraining has begun
    "finished",
    "failed",
    "promoted",  # a version has become champion
    "refused",  # a version was not promoted, or training failed
    "confirmed",  # a champion passed its shadow test
    "rolled_back",  # a champion failed its shadow test, and the former one is back
)
DRIFTS = ("level_changed", "drift", "model_degraded")  # after which a series needs another model
_OWN = ("kind", "detail", "series", "version")  # the fields that are not facts
_WHOLE = ("ts", "since", "duration_ms")
_REAL = ("value", "expected", "score", "within")
_LEVELS = ("old", "new")  # numbers in `level_changed`, texts elsewhere

Fact = str | float


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a series, a model or a retraining; an entry of the `events` stream, whose id holds the time.

    Attributes:
        kind: one of `EVENTS`.
        detail: a sentence with the figures.
        series: the series; None for a retraining.
        version: the model's version, if the event is about one.
        facts: further fields by name; `docs/wire.md` lists them.
        id: the entry id; empty before the event is written.
    """

    kind: str
    detail: str
    series: str | None = None
    version: int | None = None
    id: str = field(default="", compare=False)
    facts: Mapping[str, Fact] = field(default_factory=dict, hash=False)

    def encode(self) -> list[str | bytes]:
        """Return the entry as a flat list of names and values; unknown fields are left out."""
        flat: list[str | bytes] = ["kind", self.kind, "detail", self.detail]
        if self.series is not None:
            flat += ("series", self.series)
        if self.version is not None:
            flat += ("version", str(self.version))
        for name, value in self.facts.items():
            flat += (name, value if isinstance(value, str) else repr(value))
        return flat

    @classmethod
    def decode(cls, entry_id: bytes | str, fields: Mapping[bytes, bytes]) -> "Event":
        """Decode an entry of the `events` stream.

        Raises:
            StreamError: the entry is not an event of Tidecast.
        """
        try:
            text = {name.decode(): value.decode() for name, value in fields.items()}
            version = _whole(text["version"]) if "version" in text else None
            its_id = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
            kind = text["kind"]
            facts = {name: _fact(kind, name, value) for name, value in text.items() if name not in _OWN}
            return cls(kind, text["detail"], text.get("series"), version, its_id, facts)
        except (KeyError, ValueError) as exc:
            raise foreign_entry(entry_id, "an event", exc) from exc


def _whole(text: str) -> int:
    """Return a number that JSON and the formatting of times can take.

    Raises:
        ValueError: the text is not a number of 64 bits.
    """
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{text[:40]} is not a number of 64 bits")
    return number


def _fact(kind: str, name: str, value: str) -> Fact:
    """Return the number or the text of a fact."""
    if name in _WHOLE:
        return _whole(value)
    return float(value) if name in _REAL or (kind == "level_changed" and name in _LEVELS) else value
