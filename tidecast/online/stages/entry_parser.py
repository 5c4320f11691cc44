"""Parse the entries of a batch; entries that are no valid readings become dead letters."""

import math
from collections.abc import Sequence

import numpy as np

from tidecast.errors import BadReading
from tidecast.online.batch import Batch, BatchResult, Entry, SeriesEntry, Values
from tidecast.online.partition_series import PartitionSeries
from tidecast.settings import SeriesSettings
from tidecast.wire import DeadLetter, parsing
from tidecast.wire.numbers import numbers_of

PLAIN_FIELDS = 3  # series, ts and the target: most readings have just these, and are parsed by columns
Parsed = tuple[SeriesEntry, int, Values]  # a reading's series, its time in epoch milliseconds and its values


class EntryParser:
    """The parser of a partition's entries.

    Args:
        settings: the settings of the series.
        series: the series of the partition; a reading of an unknown one adds it.
        partition: the number of the partition; readings of another partition's series are dead letters.
        partitions: the number of partitions.
    """

    def __init__(self, settings: SeriesSettings, series: PartitionSeries, partition: int, partitions: int) -> None:
        self._max_entry_bytes = settings.max_entry_bytes
        self._series = series
        self._partition = partition
        self._partitions = partitions

    def parse(self, entries: Sequence[Entry], now_ms: int, result: BatchResult) -> Batch:
        """Return the valid readings in their order; add the others to the dead letters of the result.

        Args:
            entries: the entries.
            now_ms: epoch milliseconds; a reading may not be far ahead.
            result: receives the dead letters and their count.
        """
        parsed = self._parse_plain(entries, now_ms)
        without_ts: set[int] = set()
        for i, entry in enumerate(entries):
            if parsed[i] is None:
                try:
                    parsed[i], has_ts = self._parse(entry, now_ms)
                except BadReading as exc:
                    result.dead.append(DeadLetter(entry[0], exc.reason, str(exc), entry[1]))
                    continue
                if not has_ts:
                    without_ts.add(i)
        if result.dead:
            result.counts["dead"] += len(result.dead)
        if without_ts:
            _put_in_order(parsed, without_ts)
        ids = [entry[0] for entry, reading in zip(entries, parsed, strict=True) if reading]
        readings = [reading for reading in parsed if reading]
        times = np.array([ts for _, ts, _ in readings], np.int64)
        return Batch(ids, [member for member, _, _ in readings], times, [values for _, _, values in readings])

    def _parse_plain(self, entries: Sequence[Entry], now_ms: int) -> list[Parsed | None]:
        """Parse the plain entries of known series with one feature by columns; None stands for all others."""
        parsed: list[Parsed | None] = [None] * len(entries)
        chosen: list[tuple[int, SeriesEntry]] = []
        values: list[bytes] = []
        times: list[bytes] = []
        known = self._series.entries
        for i, (_, fields) in enumerate(entries):
            member = known.get(fields.get(b"series", b"")) if len(fields) == PLAIN_FIELDS else None
            if member and member.field and member.field in fields and b"ts" in fields:
                chosen.append((i, member))
                values.append(fields[member.field])
                times.append(fields[b"ts"])
        if chosen:
            numbers = numbers_of(values).tolist()
            for (i, member), y, ts in zip(chosen, numbers, parsing.times_of(times, now_ms), strict=True):
                if ts != parsing.NEEDS_A_LOOK and not math.isnan(y):
                    parsed[i] = member, ts, (y,)
        return parsed

    def _parse(self, entry: Entry, now_ms: int) -> tuple[Parsed, bool]:
        """Parse an entry of any kind, and return whether it was sent with a time.

        Raises:
            BadReading: the entry is not a valid reading of this partition.
        """
        entry_id, fields = entry
        parsing.check_size(fields, self._max_entry_bytes)
        series = parsing.series_of(fields)
        parsing.check_partition(series, self._partition, self._partitions)
        reading = parsing.parse_reading(entry_id, fields, series, self._series.features_of(series), now_ms)
        if series not in self._series.states:
            self._series.add_series(series)
        return (self._series.entries[series.encode()], reading.ts, reading.values), reading.has_ts


def _put_in_order(parsed: list[Parsed | None], without_ts: set[int]) -> None:
    """Move readings without a `ts` to a millisecond after their series' newest, where their own time is not later.

    Such a reading is new, because its entry id is higher: two may arrive in one millisecond, and a clock may be set
    back.
    """
    newest: dict[str, int] = {}
    for i, reading in enumerate(parsed):
        if reading is None:
            continue
        member, ts, values = reading
        before = newest.get(member.series, member.state.window.last_ts)
        if i in without_ts and ts <= before:
            ts = before + 1
            parsed[i] = member, ts, values
        newest[member.series] = max(before, ts)
