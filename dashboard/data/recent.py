"""The newest readings of every series with their forecasts, in bounded memory."""

from collections.abc import Mapping, Sequence
from contextlib import suppress

import numpy as np

from tidecast.arrays import Float
from tidecast.models.experts import EXPERTS

Entries = Sequence[tuple[bytes, Mapping[bytes, bytes] | None]]

POINTS = 96  # of each series
FIRST_ROOM = 256  # initial capacity in series; doubled when full
COLUMNS = ("origin", "due", "y", "yhat", "lower", "upper", "error", "naive", "score", "anomaly", "kind")
ORIGIN, DUE, Y, YHAT, LOWER, UPPER, ERROR, NAIVE, SCORE, ANOMALY, KIND = range(len(COLUMNS))

KINDS = (*EXPERTS, "other")  # the column `kind` holds a place in it
_KIND_OF = {name.encode(): float(place) for place, name in enumerate(KINDS)}
_OTHER = float(len(EXPERTS))


def parse_point(fields: Mapping[bytes, bytes]) -> list[float]:
    """Return the columns of a forecast; only they are parsed, a quarter of the cost of a whole `Forecast`.

    Raises:
        KeyError: a field is missing.
        ValueError: a field is not a number.
    """
    get = fields.get
    return [
        float(fields[b"origin"]),
        float(get(b"ts", b"nan")),
        float(fields[b"y"]),
        float(fields[b"yhat"]),
        float(get(b"yhat_lower", b"nan")),
        float(get(b"yhat_upper", b"nan")),
        float(get(b"error", b"nan")),
        np.nan,  # the last value's error needs the reading before
        float(get(b"anomaly_score", b"nan")),
        float(get(b"anomaly", b"nan")),
        _KIND_OF.get(fields[b"kind"], _OTHER),
    ]


class Recent:
    """The last `POINTS` readings of each series.

    Args:
        most: the maximum number of series; entries of further series are only counted, in `beyond`.

    Attributes:
        names: the series, in the order of their first entries.
        index: the row of each name.
        points: `(room, POINTS, columns)`, NaN where unknown; a ring buffer for each series.
        count: `(room,)`, the number of points that each series ever got.
        model: `(room,)`, the version of the last forecast; 0: none.
        newest_id: of each series, the entry id of the last forecast.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Remove all data."""
        self.names: list[str] = []
        self.index: dict[str, int] = {}
        self._raw_index: dict[bytes, int] = {}
        self.newest_id: list[bytes] = []
        self.points: Float = np.full((FIRST_ROOM, POINTS, len(COLUMNS)), np.nan)
        self.count = np.zeros(FIRST_ROOM, np.int64)
        self.model = np.zeros(FIRST_ROOM, np.int64)
        self.beyond = 0

    def __len__(self) -> int:
        return len(self.names)

    def add(self, entries: Entries) -> int:
        """Add entries of the `forecasts` stream in order; return the number of valid forecasts."""
        taken = 0
        for entry_id, fields in entries:
            with suppress(KeyError, ValueError, OverflowError):  # another program wrote it: only workers may
                taken += self._add(entry_id, fields or {})
        return taken

    def _add(self, entry_id: bytes, fields: Mapping[bytes, bytes]) -> bool:
        row = parse_point(fields)
        model = np.int64(int(fields.get(b"model", b"0")))
        i = self._row_of(fields[b"series"])  # after parsing, so that every known series has a point
        if i is None:
            self.beyond += 1
            return False
        self.model[i] = model
        self.newest_id[i] = entry_id
        ring = self.points[i]
        count = int(self.count[i])
        if count:
            row[NAIVE] = row[Y] - ring[(count - 1) % POINTS, Y]
        ring[count % POINTS] = row
        self.count[i] = count + 1
        return True

    def _row_of(self, raw: bytes) -> int | None:
        row = self._raw_index.get(raw)
        return self._add_series(raw) if row is None else row

    def _add_series(self, raw: bytes) -> int | None:
        i = len(self.names)
        if i >= self._most:
            return None
        name = raw.decode()
        if i == len(self.count):
            self._make_room(2 * i)
        self.names.append(name)
        self.newest_id.append(b"")
        self._raw_index[raw] = self.index[name] = i
        return i

    def _make_room(self, room: int) -> None:
        more = room - len(self.count)
        self.points = np.concatenate([self.points, np.full((more, *self.points.shape[1:]), np.nan)])
        self.count = np.concatenate([self.count, np.zeros(more, np.int64)])
        self.model = np.concatenate([self.model, np.zeros(more, np.int64)])

    def remove(self, name: str) -> None:
        """Remove a series, if it is held; the last one takes its row."""
        i = self.index.pop(name, None)
        if i is None:
            return
        del self._raw_index[name.encode()]
        last = len(self.names) - 1
        self.names[i] = self.names[last]
        self.newest_id[i] = self.newest_id[last]
        for array in (self.points, self.count, self.model):
            array[i] = array[last]
        self.points[last] = np.nan
        self.count[last] = self.model[last] = 0
        if i < last:
            self.index[self.names[i]] = self._raw_index[self.names[i].encode()] = i
        self.names.pop()
        self.newest_id.pop()

    def kind_of(self, i: int) -> str:
        """Return the expert that weighed most in a series' last forecast."""
        return KINDS[int(self.points[i, (self.count[i] - 1) % POINTS, KIND])]

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
