"""Random readings of many series in turn, numbered from 0, and states of series that have run for long.

Reading `i` is of series `i % series` and has `i` in its entry id. Its forecast has the same id, from which the time at
which the reading was due can be computed.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, islice

import numpy as np
from redis import Redis

from tidecast.arrays import Float
from tidecast.tools.sizing.trial_models import FIRST_MS, PUSH, STEP_MS, full_state, id_of, name_of

AT_ONCE = 1000  # readings per script call, states per command
_EARLIEST = 1_000_000  # offset that keeps the noise's seeds positive for steps before the first reading


class Readings:
    """The readings of a number of series in turn.

    Args:
        series: the number of series.
        names: of the series; by default those of `name_of`.
    """

    def __init__(self, series: int, names: Sequence[str] | None = None) -> None:
        self.series = series
        self._names = names or [name_of(number) for number in range(series)]

    def arguments(self, start: int, stop: int) -> list[bytes]:
        """Return the readings `start` to `stop`, four arguments each: id, series, time and value."""
        flat: list[bytes] = []
        for step in range(start // self.series, -(-stop // self.series)):
            ts = b"%d" % (FIRST_MS + STEP_MS * step)
            first = step * self.series
            values = _values(step, self.series).tolist()
            for i in range(max(start, first), min(stop, first + self.series)):
                flat += (id_of(i), self._names[i - first].encode(), ts, b"%.3f" % values[i - first])
        return flat

    def push(self, redis: Redis, key: str, start: int, stop: int) -> None:
        """Push the readings `start` to `stop`."""
        push = redis.register_script(PUSH)
        for part in range(start, stop, AT_ONCE):
            push(keys=[key], args=["value", *self.arguments(part, min(part + AT_ONCE, stop))])

    def fill(self, redis: Redis, key: str, rows: int) -> None:
        """Write states of all series, whose windows hold `rows` rows before the first reading."""
        fields = self._state_fields(rows)
        while part := dict(islice(fields, AT_ONCE)):
            redis.hset(key, mapping=part)  # type: ignore[arg-type] # bytes are fine

    def _state_fields(self, rows: int) -> Iterator[tuple[str, bytes]]:
        values = past_values(self.series, rows)
        for number in range(self.series):
            yield from full_state(self._names[number], "value", values[:, number]).items()


class PacedPush:
    """Readings encoded in advance as Redis commands, to be pushed when they are due.

    Redis sends no replies to them. A pusher that encodes thirty thousand readings a second on the way, or reads as many
    replies, would take a core from the measurement.
    """

    def __init__(self, redis: Redis, key: str, readings: Readings, start: int, stop: int) -> None:
        self._connection = redis.connection_pool.get_connection()
        self._connection.send_command("CLIENT", "REPLY", "OFF")
        flat = readings.arguments(start, stop)
        names = b"series", b"ts", b"value"
        self._packed = [
            b"".join(self._connection.pack_command("XADD", key, entry_id, *chain(*zip(names, fields, strict=True))))
            for entry_id, *fields in zip(*[iter(flat)] * 4, strict=True)
        ]

    def __call__(self, start: int, stop: int) -> None:
        """Push the readings from `start` to `stop`, counted from 0."""
        self._connection.send_packed_command([b"".join(self._packed[start:stop])])

    def finish(self) -> None:
        """Wait until Redis has executed all commands."""
        self._connection.send_command("CLIENT", "REPLY", "ON")
        self._connection.read_response()


def number_of(entry_id: bytes) -> int:
    """Return the number of the reading with this entry id."""
    return int(entry_id.partition(b"-")[0]) - FIRST_MS


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
