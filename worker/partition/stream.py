"""Every Redis command of the worker. What must happen together happens in one Lua script."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from secrets import token_hex
from typing import Any, cast

from redis import Redis
from redis.exceptions import NoScriptError, ResponseError

from tidecast.connection.partitions import has_group, whole_number
from tidecast.connection.portion import answers
from tidecast.errors import Conflict
from tidecast.online.batch import Entry, Outcome
from tidecast.settings import LONGEST_LEASE_S, WorkerSettings
from tidecast.wire import Keys
from worker.partition.backlog import Anew, Backlog, Progress
from worker.partition.pipeline import Exchange
from worker.partition.reading import Reading
from worker.partition.stored_states import states_of
from worker.redis_failures import refusals_explained
from worker.scripts import script_of
from worker.stored import tell

TWIN = -1  # instead of an epoch
TRIMMED_AT_ONCE = 1_000_000  # readings: it takes Redis some 40 ms
Meanwhile = Callable[[], None] | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """How many readings may be handled at once at a place where a worker died, and which try of that size it is.

    Before a pause it is none, 0, and nothing is written down.
    """

    size: int
    tries: int


class Stream:
    """One partition's keys in Redis.

    Every method raises `Unavailable` where Redis refuses for now, having done nothing.

    Attributes:
        keys: their names.
        has_twin: whether the last `acquire` found that another worker of the same name is alive.
    """

    def __init__(self, redis: Redis, keys: Keys, settings: WorkerSettings) -> None:
        self.has_twin = False
        self._instance = token_hex(8)
        self._fresh = True  # until the lease is held for the first time
        self._redis = redis
        self._settings = settings
        self.keys = keys
        self._acquire = redis.register_script(script_of("acquire"))
        self._hold = redis.register_script(script_of("hold"))
        self._attempt = redis.register_script(script_of("attempt"))
        self._commit = redis.register_script(script_of("commit"))
        self._retain = redis.register_script(script_of("retain"))
        self._reading = Reading(redis, keys, settings)
        # In a cluster a slot may move: there a thread waits for a commit, and redis-py knows where to send it.
        self._committing: Exchange | ThreadPoolExecutor = (
            Exchange(redis) if isinstance(redis, Redis) else ThreadPoolExecutor(1, "commit")
        )

    def acquire(self, owner: str) -> int | None:
        """Take the partition's lease; returns its epoch, None while another worker holds it.

        Raises:
            StreamError: a key is of the wrong type.
        """
        own = self.keys
        keys = [own.lease, own.offset, own.readings, own.state, own.forecasts, own.dead]
        args: list[str | int] = [owner, self._lease_ms, self._settings.group, round(LONGEST_LEASE_S * 1000)]
        args += [self._instance, int(self._fresh)]
        with refusals_explained():
            epoch, *cut = cast("list[Any]", self._acquire(keys=keys, args=args))
            self.has_twin = epoch == TWIN
            if epoch > 0:
                self._fresh = False
                self._create_group()
        for stored in cut:
            tell(f"{self.keys.lease} expires_ms", stored, f"the lease ends {self._settings.lease_s:g} s from now")
        return epoch if epoch > 0 else None

    def awaits_nobody(self) -> bool:
        """Whether the consumer group that is waited for does not exist."""
        if not self._settings.wait_for_group:
            return False
        with refusals_explained():
            return not has_group(self._redis, self.keys.forecasts, self._settings.wait_for_group)

    def abandoned(self) -> bool:
        """Whether the lease was taken over from a holder that had not given it back: it died, or stood still."""
        with refusals_explained():
            return self._redis.hget(self.keys.lease, "abandoned") == b"1"

    def hold(self, epoch: int) -> bool:
        """Keep the lease for another while; False if it is no longer ours."""
        with refusals_explained():
            return bool(self._hold(keys=[self.keys.lease], args=[epoch, self._lease_ms]))

    def release(self, epoch: int) -> None:
        """Give the lease back, so that another worker may take it at once."""
        with refusals_explained():
            self._hold(keys=[self.keys.lease], args=[epoch, 0])

    def progress(self) -> Progress:
        """Read how far the partition was committed; the lease must be held.

        Raises:
            Conflict: someone deleted the offset.
        """
        with refusals_explained():
            found = self._redis.hmget(self.keys.offset, ["last", "read", "before"])
        last, read, before = cast("list[bytes | None]", found)
        if last is None:
            raise Conflict(f"{self.keys.offset} is gone: acquire the partition anew")
        return Progress(last.decode(), (whole_number(read) or 0) - (whole_number(before) or 0))

    def states(self) -> Iterator[dict[str, bytes]]:
        """Read every series' state as it was last committed, some series at a time; the lease must be held."""
        return states_of(self._redis, self.keys.state)

    def counts(self) -> dict[str, int]:
        """Read how many readings ended with each disposition since the beginning."""
        found = cast("dict[bytes, bytes]", self._redis.hgetall(self.keys.offset))
        informing = (b"last", b"before")
        return {name.decode(): whole_number(value) or 0 for name, value in found.items() if name not in informing}

    def read(self, last: str, block_ms: int | None) -> Sequence[Entry]:
        """Read the entries after `last`, waiting up to `block_ms` for the first; None does not wait.

        At most `batch` of them and about `batch_bytes`: what is beyond is read the next time, and then fewer at once.
        """
        return self._reading.read(last, block_ms)

    def read_ahead(self) -> None:
        """Read on behind the last batch, on a thread, if it was full.

        Not before `backlog` was asked about that batch: what is read ahead and trimmed then would pass for lost.
        """
        self._reading.read_ahead()

    def read_no_further(self) -> None:
        """Forget what was asked for beside a commit."""
        self._reading.forget_asked()

    def read_less(self, patience: int) -> None:
        """Read half as many at once, until so many reads have gone well."""
        self._reading.portion.refused(patience)

    def answers(self) -> bool:
        """Whether Redis answers at all."""
        return answers(self._redis)

    def backlog(self, progress: Progress, batch: Sequence[Entry]) -> Backlog:
        """What lies beyond a batch that was read after `progress`, and what was trimmed before it could be read."""
        return self._reading.backlog(progress, batch)

    def begun_anew(self, last: str) -> Anew | None:
        """Look whether the readings' ids end before `last`, the last one answered; None: they do not."""
        return self._reading.begun_anew(last)

    def attempt(self, epoch: int, started_from: str, size: int, pause_before: int = 0) -> Attempt:
        """Write down that so many readings are about to be handled; what was never committed is tried in halves.

        Before the try `pause_before` of a single reading nothing is written down; 0: there is no such try.

        Raises:
            Fenced: another worker has the partition.
        """
        with refusals_explained():
            args: list[str | int] = [epoch, started_from, size, pause_before]
            found = cast("list[int]", self._attempt(keys=[self.keys.lease], args=args))
        return Attempt(*found)

    def acquit(self, epoch: int) -> None:
        """Take back what `attempt` has written down: the readings were handled, whatever became of their commit.

        Raises:
            Fenced: another worker has the partition.
        """
        with refusals_explained():
            self._attempt(keys=[self.keys.lease], args=[epoch, "", 0, 0])

    def retain(self, epoch: int, since_ms: int, most: int = TRIMMED_AT_ONCE) -> bool:
        """Trim the readings that are older than `since_ms`, by their ids, and committed; False: there may be more.

        Raises:
            Fenced: another worker has the partition.
        """
        with refusals_explained():
            keys = [self.keys.lease, self.keys.offset, self.keys.readings]
            return bool(self._retain(keys=keys, args=[epoch, since_ms, most]))

    def reconnect(self) -> None:
        """Let go of the connections: the next ones may find another server behind the same name."""
        self.read_no_further()
        if isinstance(self._committing, Exchange):
            self._committing.close()
        if isinstance(self._redis, Redis):
            self._redis.connection_pool.disconnect()

    def commit(
        self,
        epoch: int,
        started_from: str,
        outcome: Outcome,
        lost: int = 0,
        meanwhile: Meanwhile = None,
    ) -> None:
        """Publish a batch's forecasts and move the offset, atomically; the steps are numbered in commit.lua.

        1. The epoch is mine. 2. The offset is where the batch started; if it is where the batch ends, an earlier
        reply was lost and all is well. 3. Key types and ids are right. Then, all or nothing: 4. forecasts,
        5. dead letters, 6. events, 7. states, 8. offset and counts, 9. lease and group.

        What is to be done `meanwhile` is done while Redis commits; the next `read` is then asked for before the commit
        is sent, since Redis does one thing after the other.

        Raises:
            Fenced: another worker has the partition.
            Conflict: the offset is another.
            StreamError: a key is of the wrong type, or `forecasts` holds foreign entries.
            Unavailable: Redis refuses for now, or a consumer that is waited for has not read enough.
        """
        if meanwhile:
            self._reading.ask(outcome.last)
        keys, settings = self.keys, self._settings
        read = sum(outcome.counts.values())
        counts: dict[str, int] = {"read": read + lost, "lost": lost, **outcome.counts}
        counts |= {"before": -outcome.shift} if outcome.shift else {}
        args: list[Any] = [epoch, started_from, outcome.last, self._lease_ms]
        args += [settings.forecasts_kept, settings.dead_kept, settings.events_kept]
        args += [settings.group, settings.wait_for_group, len(counts)]
        for name, number in counts.items():
            args += (name, number)
        fields = outcome.forecasts.encode() if outcome.forecasts else []
        args.append(len(fields))
        for column in fields:
            args += column
        args.append(len(outcome.dead))
        for letter in outcome.dead:
            flat = letter.encode()
            args += (letter.id, len(flat), *flat)
        args.append(len(outcome.events))
        for event in outcome.events:
            flat = event.encode()
            args += (len(flat), *flat)
        for series, state in outcome.states.items():
            args += (series, state)
        of = [keys.lease, keys.offset, keys.readings, keys.forecasts, keys.dead, keys.state, keys.events]
        with refusals_explained():
            if meanwhile is None:
                self._commit(keys=of, args=args)
            elif isinstance(self._committing, Exchange):
                self._commit_beside(self._committing, of, args, meanwhile)
            else:
                committed = self._committing.submit(self._commit, keys=of, args=args)
                try:
                    meanwhile()
                finally:
                    committed.result()

    def _commit_beside(
        self, exchange: Exchange, keys: list[str], args: list[Any], meanwhile: Callable[[], None]
    ) -> None:
        try:
            exchange.send(("EVALSHA", self._commit.sha, len(keys), *keys, *args))
            try:
                meanwhile()
            finally:
                exchange.reply()
        except NoScriptError:  # Redis was started anew; nothing has happened
            self._commit(keys=keys, args=args)
        except ResponseError:
            raise
        except Exception:
            exchange.close()
            raise

    @property
    def _lease_ms(self) -> int:
        return round(self._settings.lease_s * 1000)

    def _create_group(self) -> None:
        try:
            self._redis.xgroup_create(self.keys.readings, self._settings.group, id="0", mkstream=True)
        except ResponseError as exc:
            if not str(exc).startswith("BUSYGROUP"):
                raise
