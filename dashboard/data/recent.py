"""The newest readings of every series with their forecasts, in bounded memory."""

from collections.abc import Mapping, Sequence

import numpy as np

from tidecast.arrays import Float

Entries = Sequence[tuple[bytes, Mapping[bytes, bytes] | None]]

POINTS = 96  # of each series
FIRST_ROOM = 256  # initial capacity in series; doubled when full
COLUMNS = ("arrived", "origin", "due", "y", "yhat", "lower", "upper", "error", "naive", "score")
ARRIVED, ORIGIN, DUE, Y, YHAT, LOWER, UPPER, ERROR, NAIVE, SCORE = range(len(COLUMNS))
GAP_WEIGHT = 0.2  # weight of the newest gap between two arrivals in the usual gap


class Recent:
    """The last `POINTS` readings of each series.

    Args:
        most: the maximum number of series; entries of further series are only counted, in `beyond`.

    Attributes:
        names: the series, in the order of their first entries.
        index: the row of each name.
        points: `(room, POINTS, columns)`, NaN where unknown; a ring buffer for each series.
        count: `(room,)`, the number of points that each series ever got.
        gap_ms: `(room,)`, the usual time between two arrivals.
        model: `(room,)`, the version of the last forecast; 0: none.
        kind: of each series, the expert of the last forecast.
        unreadable: the number of entries that are not valid forecasts.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Remove all data."""
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self._raw_index: dict[bytes, int] = {}
        self.kind: list[str] = []
        self.points: Float = np.full((FIRST_ROOM, POINTS, len(COLUMNS)), np.nan)
        self.count = np.zeros(FIRST_ROOM, np.int64)
        self.gap_ms = np.full(FIRST_ROOM, np.nan)
        self.model = np.zeros(FIRST_ROOM, np.int64)
        self.beyond = 0
        self.unreadable = 0

    def __len__(self) -> int:
        return len(self.names)

    def add(self, entries: Entries) -> int:
        """Add entries of the `forecasts` stream in order; return the number of valid forecasts."""
        taken = 0
        for entry_id, fields in entries:
            try:
                taken += self._add(entry_id, fields or {})
            except (KeyError, ValueError):  # only workers may write there, so entries by others are just counted
                self.unreadable += 1
        return taken

    def _add(self, entry_id: bytes, fields: Mapping[bytes, bytes]) -> bool:
        """Add one forecast; only the fields on the pages are parsed, a quarter of the cost of a whole `Forecast`."""
        get = fields.get
        arrived = float(entry_id.partition(b"-")[0])
        y = float(fields[b"y"])
        row = [
            arrived,
            float(fields[b"origin"]),
            float(get(b"ts", b"nan")),
            y,
            float(fields[b"yhat"]),
            float(get(b"yhat_lower", b"nan")),
            float(get(b"yhat_upper", b"nan")),
            float(get(b"error", b"nan")),
            np.nan,
            float(get(b"anomaly_score", b"nan")),
        ]
        model = int(get(b"model", b"0"))
        kind = fields[b"kind"].decode()
        i = self._row_of(fields[b"series"])  # after parsing, so that every known series has a point
        if i is None:
            self.beyond += 1
            return False
        self.model[i] = model
        self.kind[i] = kind
        ring = self.points[i]
        count = int(self.count[i])
        if count:
            before = ring[(count - 1) % POINTS]
            row[NAIVE] = y - before[Y]
            gap = arrived - before[ARRIVED]
            usual = self.gap_ms[i]
            self.gap_ms[i] = gap if usual != usual else usual + GAP_WEIGHT * (gap - usual)
        ring[count % POINTS] = row
        self.count[i] = count + 1
        return True

    def _row_of(self, raw: bytes) -> int | None:
        row = self._raw_index.get(raw)
        return self._meet(raw) if row is None else row

    def _meet(self, raw: bytes) -> int | None:
        i = len(self.names)
        if i >= self._most:
            return None
        name = raw.decode()
        if i == len(self.count):
            self._make_room(2 * i)
        self.names.append(name)
        self.kind.append("")
        self._raw_index[raw] = self.index[name] = i
        return i

    def _make_room(self, room: int) -> None:
        more = room - len(self.count)
        self.points = np.concatenate([self.points, np.full((more, *self.points.shape[1:]), np.nan)])
        self.count = np.concatenate([self.count, np.zeros(more, np.int64)])
        self.gap_ms = np.concatenate([self.gap_ms, np.full(more, np.nan)])
        self.model = np.concatenate([self.model, np.zeros(more, np.int64)])

    def of(self, i: int) -> Float:
        """Return a series' points, oldest first: `(points, columns)`."""
        count = int(self.count[i])
        if count <= POINTS:
            return self.points[i, :count]
        return np.roll(self.points[i], -(count % POINTS), axis=0)

    def newest(self) -> Float:
        """Return the newest point of every series: `(series, columns)`."""
        rows = np.arange(len(self))
        return self.points[rows, (self.count[: len(self)] - 1) % POINTS]

    def scores(self) -> tuple[Float, Float]:
        """Return each series' skill against the last value, and its share of readings within the interval.

        Both errors of the skill are summed over the same readings; NaN without readings to score.
        """
        held = self.points[: len(self)]
        error = np.abs(held[:, :, ERROR])
        naive = np.abs(held[:, :, NAIVE])
        score = held[:, :, SCORE]
        both = ~(np.isnan(error) | np.isnan(naive))
        lost = np.where(both, naive, 0).sum(axis=1)
        erred = np.where(both, error, 0).sum(axis=1)
        bounded = (~np.isnan(score)).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            skill = np.where(lost > 0, 1 - erred / lost, np.nan)
            coverage = np.where(bounded > 0, (score <= 1).sum(axis=1) / bounded, np.nan)
        return skill, coverage
