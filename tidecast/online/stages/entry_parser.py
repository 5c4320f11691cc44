"""Parse the entries of a batch; entries that are no valid readings become dead letters."""

import numpy as np

from tidecast.errors import BadReading
from tidecast.online.batch import BatchResult, Entry, ParsedReadings
from tidecast.online.kernels.entries import ODD, POWERS, SERIES_FIELD, TS_FIELD, Parsed, parse_entries
from tidecast.online.raw_entries import RawEntries
from tidecast.online.series.partition_series import PartitionSeries
from tidecast.online.series.series_names import SeriesNames
from tidecast.settings import SeriesSettings
from tidecast.wire import DeadLetter, Reading, parsing

CONSTANTS = POWERS, SERIES_FIELD, TS_FIELD


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

    def parse(self, entries: RawEntries, now_ms: int, result: BatchResult) -> ParsedReadings:
        """Return the valid readings in their order; add the others to the dead letters of the result.

        Args:
            entries: the entries.
            now_ms: epoch milliseconds; a reading may not be far ahead.
            result: receives the dead letters and their count.
        """
        parsed = self._parse_plain(entries, now_ms)
        for i in np.flatnonzero((parsed.series == ODD) | (entries.places.size > self._max_entry_bytes)).tolist():
            entry = entries[i]
            parsed.series[i] = ODD
            try:
                reading = self._parse(entry, now_ms)
            except BadReading as exc:
                result.dead.append(DeadLetter(entry[0], exc.reason, str(exc), entry[1]))
                continue
            parsed = _with(parsed, i, self._series.entries[reading.series].number, reading)
        if result.dead:
            result.counts["dead"] += len(result.dead)
        valid = np.flatnonzero(parsed.series != ODD)
        arrived = entries.places.ms.astype(np.int64)
        if len(valid) == len(entries):
            return ParsedReadings(entries.ids, parsed.series, parsed.ts, parsed.has_ts, parsed.values, arrived)
        ids = entries.ids
        return ParsedReadings(
            [ids[i] for i in valid.tolist()],
            parsed.series[valid],
            parsed.ts[valid],
            parsed.has_ts[valid],
            parsed.values[valid],
            arrived[valid],
        )

    def _parse_plain(self, entries: RawEntries, now_ms: int) -> Parsed:
        """Parse the plain entries of known series; the others are marked as ODD."""
        count = len(entries)
        names = self._series.names.names
        parsed = Parsed(
            np.empty(count, np.int64),
            np.empty(count, np.int64),
            np.empty(count, np.int64),
            np.empty((count, names.features.shape[1])),
        )
        limits = now_ms + parsing.AHEAD_MS, now_ms + parsing.ID_AHEAD_MS, now_ms
        parse_entries(entries.reply, entries.places, names, CONSTANTS, limits, parsed)
        return parsed

    def _parse(self, entry: Entry, now_ms: int) -> Reading:
        """Parse an entry of any kind; add its series if it is new.

        Raises:
            BadReading: the entry is not a valid reading of this partition.
        """
        entry_id, fields = entry
        parsing.check_size(fields, self._max_entry_bytes)
        series = parsing.series_of(fields)
        parsing.check_partition(series, self._partition, self._partitions)
        reading = parsing.parse_reading(entry_id, fields, series, self._series.features_of(series), now_ms)
        if series not in self._series.states:
            self._series.add_series(series, reading.ts)
        return reading


def _with(parsed: Parsed, i: int, series: int, reading: Reading) -> Parsed:
    """Return the parsed entries with reading `i`, in wider arrays if it has more features than any before."""
    missing = len(reading.values) - parsed.values.shape[1]
    if missing > 0:
        parsed = parsed._replace(values=np.pad(parsed.values, ((0, 0), (0, missing)), constant_values=np.nan))
    parsed.series[i] = series
    parsed.ts[i] = reading.ts
    parsed.has_ts[i] = reading.has_ts
    parsed.values[i] = np.nan
    parsed.values[i, : len(reading.values)] = reading.values
    return parsed


def warm() -> None:
    """Compile the loops, or load them from the cache."""
    names = SeriesNames()
    names.add("")
    names.set_features(0, [""])
    entries = RawEntries.of([("1-0", {b"series": b""})])
    zeros = np.zeros(1, np.int64)
    parse_entries(
        entries.reply,
        entries.places,
        names.names,
        CONSTANTS,
        (0, 0, 0),
        Parsed(zeros, zeros + 0, zeros + 0, np.zeros((1, 1))),
    )
