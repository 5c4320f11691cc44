"""Every Redis command of the worker. What must happen together happens in one Lua script."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, cast

from redis import Redis
from redis.exceptions import ResponseError

from tidecast.errors import Conflict, Fenced, StreamError
from tidecast.settings import WorkerSettings
from tidecast.wire import Keys
from worker.forecaster import Entry, Outcome

REFUSALS: Mapping[str, type[StreamError]] = {
    "FENCED": Fenced,
    "CONFLICT": Conflict,
    "WRONGKEY": StreamError,
    "AHEAD": StreamError,
}


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the partition is: the last entry committed, and how many entries that makes since the beginning."""

    last: str
    read: int


class Stream:
    """One partition's keys in Redis."""

    def __init__(self, redis: Redis, keys: Keys, settings: WorkerSettings) -> None:
        self._redis = redis
        self._settings = settings
        self.keys = keys
        self._acquire = redis.register_script(script_of("acquire"))
        self._hold = redis.register_script(script_of("hold"))
        self._commit = redis.register_script(script_of("commit"))

    def acquire(self, owner: str) -> int | None:
        """Take the partition's lease; returns its epoch, None while another worker holds it.

        Raises:
            StreamError: a key is of the wrong type.
        """
        keys = [self.keys.lease, self.keys.offset, self.keys.readings]
        try:
            epoch = cast("int | None", self._acquire(keys=keys, args=[owner, self._lease_ms]))
        except ResponseError as exc:
            raise _refusal(exc) from exc
        if epoch is not None:
            self._create_group()
        return epoch

    def hold(self, epoch: int) -> bool:
        """Keep the lease for another while; False if it is no longer ours."""
        return bool(self._hold(keys=[self.keys.lease], args=[epoch, self._lease_ms]))

    def release(self, epoch: int) -> None:
        """Give the lease back, so that another worker may take it at once."""
        self._hold(keys=[self.keys.lease], args=[epoch, 0])

    def progress(self) -> Progress:
        """Read how far the partition was committed; the lease must be held.

        Raises:
            Conflict: someone deleted the offset.
        """
        last, read = cast("list[bytes | None]", self._redis.hmget(self.keys.offset, ["last", "read"]))
        if last is None:
            raise Conflict(f"{self.keys.offset} is gone: acquire the partition anew")
        return Progress(last.decode(), int(read or 0))

    def states(self) -> dict[str, bytes]:
        """Read every series' state as it was last committed."""
        found = cast("dict[bytes, bytes]", self._redis.hgetall(self.keys.state))
        return {series.decode(): state for series, state in found.items()}

    def counts(self) -> dict[str, int]:
        """Read how many readings ended with each disposition since the beginning."""
        found = cast("dict[bytes, bytes]", self._redis.hgetall(self.keys.offset))
        return {name.decode(): int(value) for name, value in found.items() if name != b"last"}

    def read(self, last: str, block_ms: int | None) -> list[Entry]:
        """Read the entries after `last`, waiting up to `block_ms` for the first; None does not wait."""
        reply = self._redis.xread({self.keys.readings: last}, count=self._settings.batch, block=block_ms)
        streams = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes] | None]]]]", reply)
        if not streams:
            return []
        return [(entry_id.decode(), fields or {}) for entry_id, fields in streams[0][1]]

    def lost(self, progress: Progress, batch: Sequence[Entry]) -> int:
        """How many readings were trimmed away before they were read (known from Redis 7 on; before it, 0).

        Only once nothing up to `progress.last` is left can something after it be gone; what `batch` holds was
        read in time, even if it is trimmed by now.
        """
        try:
            info = self._redis.xinfo_stream(self.keys.readings)
        except ResponseError as exc:
            if "no such key" not in str(exc):
                raise
            return 0
        first = _pair(info["first-entry"][0].decode()) if info["first-entry"] else None
        if "entries-added" not in info or (first and first <= _pair(progress.last)):
            return 0
        in_time = sum(first is None or _pair(entry_id) < first for entry_id, _ in batch)
        return max(0, int(info["entries-added"]) - progress.read - int(info["length"]) - in_time)

    def commit(self, epoch: int, started_from: str, outcome: Outcome, lost: int = 0) -> None:
        """Publish a batch's forecasts and move the offset, atomically; the steps are numbered in commit.lua.

        1. The epoch is mine. 2. The offset is where the batch started; if it is where the batch ends, an earlier
        reply was lost and all is well. 3. Key types and ids are right. Then, all or nothing: 4. forecasts,
        5. dead letters, 6. states, 7. offset and counts, 8. lease and group.

        Raises:
            Fenced: another worker has the partition.
            Conflict: the offset is another.
            StreamError: a key is of the wrong type, or `forecasts` holds foreign entries.
        """
        keys, settings = self.keys, self._settings
        read = sum(outcome.counts.values())
        counts: dict[str, int] = {"read": read + lost, "lost": lost, **outcome.counts}
        args: list[Any] = [epoch, started_from, outcome.last, self._lease_ms]
        args += [settings.forecasts_kept, settings.dead_kept, settings.group, len(counts)]
        for name, number in counts.items():
            args += (name, number)
        for letters in (outcome.forecasts, outcome.dead):
            args.append(len(letters))
            for letter in letters:
                flat = letter.encode()
                args += (letter.id, len(flat), *flat)
        for series, state in outcome.states.items():
            args += (series, state)
        try:
            self._commit(
                keys=[keys.lease, keys.offset, keys.readings, keys.forecasts, keys.dead, keys.state], args=args
            )
        except ResponseError as exc:
            raise _refusal(exc) from exc

    @property
    def _lease_ms(self) -> int:
        return round(self._settings.lease_s * 1000)

    def _create_group(self) -> None:
        try:
            self._redis.xgroup_create(self.keys.readings, self._settings.group, id="0", mkstream=True)
        except ResponseError as exc:
            if not str(exc).startswith("BUSYGROUP"):
                raise


def script_of(name: str) -> str:
    """Read one of the scripts that run inside Redis."""
    return files("worker").joinpath(f"{name}.lua").read_text()


def _refusal(exc: ResponseError) -> Exception:
    code, _, sentence = str(exc).partition(" ")
    kind = REFUSALS.get(code)
    if kind is StreamError:
        return kind(f"{sentence}: rename or delete that key, or use another namespace")
    return kind(sentence) if kind else exc


def _pair(entry_id: str) -> tuple[int, int]:
    ms, _, seq = entry_id.partition("-")
    return int(ms), int(seq)
