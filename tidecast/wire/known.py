"""Entries of the stream `known`: values that are known ahead of the readings of a series, or of those of a pattern."""

from dataclasses import dataclass

from tidecast.errors import BadReading
from tidecast.wire.messages import Fields
from tidecast.wire.parsing import check_size, parse_number, parse_time, quoted, series_of

ANY_TIME = 10**15  # epoch milliseconds: values may be for any time ahead
NOT_VALUES = (b"series", b"ts", b"known_at")


@dataclass(frozen=True, slots=True)
class KnownEntry:
    """The values of one entry.

    Attributes:
        source: a series, or a pattern such as `shop-*`.
        ts: the time that they are for, epoch milliseconds.
        values: by field, finite.
        known_at: since when they are known, epoch milliseconds; None: since the entry.
    """

    source: str
    ts: int
    values: dict[str, float]
    known_at: int | None = None


def known_keys(namespace: str = "") -> tuple[str, str]:
    """Return the keys of the stream of known values, and of that of its dead letters; all partitions share them."""
    prefix = f"{namespace}:" if namespace else ""
    return f"{prefix}known", f"{prefix}known_dead"


def parse_known(fields: Fields, most_bytes: int) -> KnownEntry:
    """Parse the fields of an entry.

    Args:
        fields: of the entry.
        most_bytes: how large an entry may be, the setting `series.max_entry_bytes`.

    Raises:
        BadReading: a field is missing or invalid; the message has the value and the remedy.
    """
    check_size(fields, most_bytes)
    source = series_of(fields)
    if b"ts" not in fields:
        raise BadReading("bad_ts", "field 'ts' is missing: send the time that the values are for")
    ts = parse_time(fields[b"ts"], ANY_TIME)
    known_at = parse_time(fields[b"known_at"], ANY_TIME) if b"known_at" in fields else None
    values = {_name(name): parse_number(name, raw) for name, raw in fields.items() if name not in NOT_VALUES}
    if not values:
        raise BadReading("no_value", f"the entry for {source!r} has no value: send at least one field with a number")
    return KnownEntry(source, ts, values, known_at)


def _name(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as exc:
        raise BadReading("bad_value", f"a field is named {quoted(raw)}, which is not UTF-8: rename it") from exc
