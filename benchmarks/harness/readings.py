"""Random readings of many series in turn, numbered from 0, and states of series that have run for long.

Reading `i` is of series `i % series` and has `i` in its entry id. Its forecast has the same id, from which the time at
which the reading was due can be computed.
"""

from collections.abc import Iterator
from itertools import chain, islice

import numpy as np
from redis import Redis

from tidecast.arrays import Float
from tidecast.online.state import SeriesState
from tidecast.online.window import Window

EPOCH_MS = 1_600_000_000_000
STEP_MS = 60_000
AT_ONCE = 1000  # readings per script call, states per command
_EARLIEST = 1_000_000  # offset that keeps the noise's seeds positive for steps before the first reading
_PUSH = """
for i = 1, #ARGV, 4 do
  redis.call('XADD', KEYS[1], ARGV[i], 'series', ARGV[i + 1], 'ts', ARGV[i + 2], 'value', ARGV[i + 3])
end
"""


class Readings:
    """The readings of a number of series in turn.

    Args:
        series: the number of series.
    """

    def __init__(self, series: int) -> None:
        self.series = series

    def arguments(self, start: int, stop: int) -> list[bytes]:
        """Return the readings `start` to `stop`, four arguments each: id, series, time and value."""
        flat: list[bytes] = []
        for step in range(start // self.series, -(-stop // self.series)):
            ts = b"%d" % (EPOCH_MS + STEP_MS * step)
            first = step * self.series
            values = _values(step, self.series).tolist()
            for i in range(max(start, first), min(stop, first + self.series)):
                flat += (id_of(i), name_of(i - first).encode(), ts, b"%.3f" % values[i - first])
        return flat

    def push(self, redis: Redis, key: str, start: int, stop: int) -> None:
        """Push the readings `start` to `stop`."""
        push = redis.register_script(_PUSH)
        for part in range(start, stop, AT_ONCE):
            push(keys=[key], args=self.arguments(part, min(part + AT_ONCE, stop)))

    def fill(self, redis: Redis, key: str, rows: int) -> None:
        """Write states of all series, whose windows hold `rows` rows before the first reading."""
        fields = self._state_fields(rows)
        while part := dict(islice(fields, AT_ONCE)):
            redis.hset(key, mapping=part)  # type: ignore[arg-type] # bytes are fine

    def _state_fields(self, rows: int) -> Iterator[tuple[str, bytes]]:
        values = past_values(self.series, rows)
        for number in range(self.series):
            window = Window(rows, 1)
            window.buffer[:rows, 0] = values[:, number]
            window.end = window.length = window.appended = window.unsaved = rows
            window.last_ts = EPOCH_MS - STEP_MS
            window.step_ms = STEP_MS
            yield from SeriesState(("value",), window).changes(name_of(number)).items()


class PacedPush:
    """Readings encoded in advance as Redis commands, to be pushed when they are due.

    A pusher that encodes two thousand readings a second on the way would take a quarter of a core from the measurement.
    """

    def __init__(self, redis: Redis, key: str, readings: Readings, start: int, stop: int) -> None:
        self._connection = redis.connection_pool.get_connection()
        flat = readings.arguments(start, stop)
        names = b"series", b"ts", b"value"
        self._packed = [
            b"".join(self._connection.pack_command("XADD", key, entry_id, *chain(*zip(names, fields, strict=True))))
            for entry_id, *fields in zip(*[iter(flat)] * 4, strict=True)
        ]

    def __call__(self, start: int, stop: int) -> None:
        """Push the readings from `start` to `stop`, counted from 0."""
        self._connection.send_packed_command([b"".join(self._packed[start:stop])])
        for _ in range(start, stop):
            self._connection.read_response()


def name_of(number: int) -> str:
    """Return the name of a series."""
    return f"series-{number}"


def id_of(i: int) -> bytes:
    """Return the entry id of reading `i`, and of its forecast."""
    return b"%d-1" % (EPOCH_MS + i)


def number_of(entry_id: bytes) -> int:
    """Return the number of the reading with this entry id."""
    return int(entry_id.partition(b"-")[0]) - EPOCH_MS


def past_values(series: int, rows: int) -> Float:
    """Return the values before the first reading: `(rows, series)`."""
    return np.stack([_values(step, series) for step in range(-rows, 0)])


def _values(step: int, series: int) -> Float:
    """Return the values of all series at a step: a day of 24 rows, a week of 168, and noise."""
    phase = 0.37 * np.arange(series)
    turn = 2 * np.pi * step
    noise = np.random.default_rng(_EARLIEST + step).normal(size=series)
    values: Float = 100 + 10 * np.sin(turn / 24 + phase) + 3 * np.sin(turn / 168 + phase) + noise
    return values
