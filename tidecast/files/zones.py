"""Convert local times to UTC, including the skipped hour in spring and the repeated hour in autumn."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np

from tidecast.arrays import Bools, Int64
from tidecast.errors import SettingsError
from tidecast.suggestions import most_similar

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Localised:
    """Local times in UTC."""

    ms: Int64  # (rows,) epoch milliseconds
    skipped: int  # the number of times that the clock skipped; they were moved to the next valid time
    twice: int  # the number of times that the clock showed twice


def zone_of(name: str | None) -> ZoneInfo | None:
    """Find a time zone by its name.

    Raises:
        SettingsError: no time zone has this name.
    """
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        similar = most_similar(str(name), available_timezones())
        remedy = f"did you mean {similar!r}?" if similar else "name one such as Europe/Berlin or UTC"
        raise SettingsError(f"time zone {name!r} is unknown: {remedy}") from exc


def to_utc(local_ms: Int64, series: Int64, zone: ZoneInfo, newest: Sequence[int] | None = None) -> Localised:
    """Convert local times to UTC.

    Of the times that the clock showed twice, those up to a step back in time are from before the clock change, and the
    others from after it. In a series with other steps back only the second of equal times is from after the change. In
    a file with the newest row first, the lowest row of a series is its first one.

    Args:
        local_ms: `(rows,)` milliseconds as if the clock showed UTC.
        series: `(rows,)` the series number of each row, in the file's order.
        zone: the time zone of the clock.
        newest: the newest time of each series before these rows, which arrive one after the other; None: these are all.
    """
    seconds = local_ms // 1000
    starts, offsets = offset_changes(zone, int(seconds.min()) - 2 * _DAY_S, int(seconds.max()) + 2 * _DAY_S)
    # The offset of a local time is one of the two offsets around it.
    before = offsets[_last(starts, seconds - int(offsets.max()))]
    after = offsets[_last(starts, seconds - int(offsets.min()))]
    valid_before = offsets[_last(starts, seconds - before)] == before
    valid_after = offsets[_last(starts, seconds - after)] == after
    skipped = ~valid_before & ~valid_after
    twice = valid_before & valid_after & (before != after)
    later = np.zeros(len(local_ms), np.bool_)
    odd = np.flatnonzero(twice)
    if newest is not None:
        later[odd] = _is_late(
            local_ms[odd] - 1000 * before[odd], local_ms[odd] - 1000 * after[odd], series[odd], newest
        )
    elif len(odd):
        later[odd] = _is_after_change(local_ms, series, odd)
    offset = np.where(valid_before & ~later, before, after)
    ms = local_ms - 1000 * offset
    ms[skipped] = 1000 * starts[_last(starts, seconds[skipped] - before[skipped])]
    return Localised(ms, int(np.count_nonzero(skipped)), len(odd))


def _last(starts: Int64, moments: Int64) -> Int64:
    """Return the index of the offset at each moment; starts and moments are in seconds of UTC."""
    return np.maximum(np.searchsorted(starts, moments, side="right") - 1, 0)


def offset_changes(zone: ZoneInfo, first: int, last: int) -> tuple[Int64, Int64]:
    """Return the starts of a zone's offsets from `first` to `last`, in seconds of UTC, and the offsets in seconds."""
    days = np.arange(first, last + _DAY_S, _DAY_S).tolist()
    offsets = [_offset(zone, day) for day in days]
    starts = [first]
    held = [offsets[0]]
    for day, before, after in zip(days[1:], offsets, offsets[1:], strict=False):
        if before != after:
            starts.append(_change(zone, day - _DAY_S, day))
            held.append(after)
    return np.array(starts, np.int64), np.array(held, np.int64)


def _change(zone: ZoneInfo, low: int, high: int) -> int:
    """Return the second between `low` and `high` at which the offset changes."""
    before = _offset(zone, low)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(zone, middle) == before:
            low = middle
        else:
            high = middle
    return high


def _offset(zone: ZoneInfo, second: int) -> int:
    moment = (_EPOCH + timedelta(seconds=second)).astimezone(zone)
    return round((moment.utcoffset() or timedelta()).total_seconds())


def _is_late(before_ms: Int64, after_ms: Int64, series: Int64, newest: Sequence[int]) -> Bools:
    """Mark the rows, in the order of their arrival, that cannot be from before the clock change."""
    known = list(newest)
    late = np.zeros(len(series), np.bool_)
    for row, code in enumerate(series.tolist()):
        late[row] = before_ms[row] <= known[code]
        known[code] = int(after_ms[row] if late[row] else before_ms[row])
    return late


def _is_after_change(local_ms: Int64, series: Int64, odd: Int64) -> Bools:
    """Mark the rows from after the clock change.

    Args:
        local_ms: `(rows,)` all times of the file.
        series: `(rows,)`.
        odd: the rows whose time the clock showed twice.

    Returns:
        `(odd rows,)`.
    """
    forward, disorder = _directions(local_ms, series)
    order = np.lexsort((odd * forward[series[odd]], local_ms[odd], series[odd]))
    repeated = _scattered(order, _same(local_ms[odd][order]) & _same(series[odd][order]))
    order = np.lexsort((odd * forward[series[odd]], series[odd]))
    ms = local_ms[odd][order]
    codes = series[odd][order]
    step = np.diff(ms, prepend=ms[0])
    begins = ~_same(codes) | (np.abs(step) > 1000 * _DAY_S)
    night = np.cumsum(begins) - 1  # a night of one series
    back = ~begins & (step <= 0)
    # Without other steps back, the only one of a night is the clock change.
    is_clock = (np.bincount(night, weights=back) == 1)[night] & (
        disorder <= np.bincount(codes[begins], minlength=len(disorder))
    )[codes]
    turned = np.cumsum(back)
    after = turned > turned[begins][night]
    return np.where(_scattered(order, is_clock), _scattered(order, after), repeated)


def _directions(local_ms: Int64, series: Int64) -> tuple[Int64, Int64]:
    """Return for each series 1 if its times mostly increase from row to row or -1, and its steps that do not."""
    order = np.argsort(series, kind="stable")
    codes = series[order]
    count = int(series.max()) + 1
    steps = np.sign(np.diff(local_ms[order]))
    same = codes[1:] == codes[:-1]
    forward = np.where(np.bincount(codes[1:], weights=steps * same, minlength=count) < 0, -1, 1)
    against = same & (steps * forward[codes[1:]] < 0)
    return forward, np.bincount(codes[1:], weights=against, minlength=count).astype(np.int64)


def _same(values: Int64) -> Bools:
    """Mark the values that equal the one before."""
    return np.append(False, values[1:] == values[:-1])


def _scattered(order: Int64, values: Bools) -> Bools:
    """Return values of ordered rows in the order of the rows."""
    scattered = np.empty_like(values)
    scattered[order] = values
    return scattered
