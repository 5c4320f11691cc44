"""The contents of streams: how entries are decoded, which of them are wanted, and in which order."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tidecast.errors import SettingsError
from tidecast.settings.patterns import matches
from tidecast.suggestions import did_you_mean
from tidecast.wire import EVENTS, REASONS, DeadLetter, Event, Fields, Forecast, is_copy

T = TypeVar("T")
Names = str | Iterable[str] | None  # one name, several, or None for all


@dataclass(frozen=True, slots=True)
class Contents(Generic[T]):
    """The choice of entries that a client reads from streams, and their conversion.

    Attributes:
        decode: converts an entry, its id and its fields, to an item.
        wanted: returns whether an entry is returned, by its fields.
        by_time: whether entries of several streams are returned in the order of their ids.
    """

    decode: Callable[[bytes, Fields], T]
    wanted: Callable[[Fields], bool] = lambda _: True
    by_time: bool = False


FORECASTS = Contents(Forecast.decode, lambda fields: not is_copy(fields))


def events_of(kinds: Names, series: Names) -> Contents[Event]:
    """Return the events of some kinds and some series.

    Args:
        kinds: names from `EVENTS`; None: all.
        series: names or patterns such as `boiler-*`; None: all, and events without a series.

    Raises:
        SettingsError: a kind does not exist, or an argument is not text.
    """
    chosen = {kind.encode() for kind in _texts("kinds", kinds, EVENTS)}
    patterns = _texts("series", series, ())

    def wanted(fields: Fields) -> bool:
        if kinds is not None and fields.get(b"kind") not in chosen:
            return False
        return series is None or _matches(fields.get(b"series"), patterns)

    return Contents(Event.decode, wanted, by_time=True)


def dead_letters_of(reasons: Names, series: Names) -> Contents[DeadLetter]:
    """Return the dead letters of some reasons and some series.

    Args:
        reasons: codes from `REASONS`; None: all.
        series: names or patterns such as `boiler-*`; None: all, and readings without a series.

    Raises:
        SettingsError: a reason does not exist, or an argument is not text.
    """
    chosen = {reason.encode() for reason in _texts("reasons", reasons, REASONS)}
    patterns = _texts("series", series, ())

    def wanted(fields: Fields) -> bool:
        if reasons is not None and fields.get(b"reason") not in chosen:
            return False
        return series is None or _matches(fields.get(b"original.series"), patterns)

    return Contents(DeadLetter.decode, wanted, by_time=True)


def _matches(raw: bytes | None, patterns: tuple[str, ...]) -> bool:
    """Return whether a name is one of some names and patterns."""
    name = raw.decode(errors="replace") if raw is not None else None
    return name is not None and any(matches(name, pattern) for pattern in patterns)


def _texts(name: str, given: Names, known: tuple[str, ...]) -> tuple[str, ...]:
    """Return names as a tuple; if `known` is not empty, each must be one of these."""
    listed: tuple[Any, ...] = (given,) if isinstance(given, str) else tuple(given or ())
    for each in listed:
        if not isinstance(each, str):
            raise SettingsError(f"{name} has {each!r}: give texts")
        if known and each not in known:
            raise SettingsError(f"{name} has {each!r}, which does not exist: {did_you_mean(each, known)}")
    return listed
