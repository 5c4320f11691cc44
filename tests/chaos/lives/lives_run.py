"""Series are renamed and deleted by the command while readings flow and the worker is killed again and again."""

import random
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

from redis import Redis

from tests.chaos.harness import finish, make_readings, make_store, push, start_worker
from tests.chaos.verifier import Entries, Published, Violations, compare
from tests.harness.patience import PATIENCE_S, until
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings
from tidecast.tools.series.life import SeriesRequest, change_series

NEW = {"series-0": "pump-0", "series-1": "pump-1", "series-4": "pump-4"}  # those of even numbers have a model
DELETED = {"series-2", "series-3"}
NAMES = {old.encode(): new.encode() for old, new in NEW.items()}
LONGEST_LIFE_S = 0.1  # of a worker after it has acquired the partition
PART = 200  # readings that arrive during each life


@dataclass(frozen=True, slots=True)
class Lives:
    """How a run went.

    Attributes:
        kills: of the worker while orders waited.
        violations: differences from a run in which the series always had their new names.
        events: the number of each kind of event on names.
        served: the series in the store that should not be there, or are missing.
        traces: names in Redis' hashes, and names of deleted series in streams, that should not be there.
    """

    kills: int
    violations: Violations
    events: Mapping[str, int]
    served: set[str]
    traces: set[str]

    def left(self) -> list[str]:
        """Return a sentence for each name that is left, or should not be there."""
        return [f"{name} is in the store, or missing there" for name in self.served] + [
            f"{name} is left in Redis" for name in self.traces
        ]


def lives_run(folder: Path, readings: int, kills: int, seed: int) -> Lives:
    """Rename and delete series between the two halves of the readings; compare with an undisturbed run."""
    before, after = _halves(readings, seed)
    for name in ("calm", "stormy"):
        (folder / name).mkdir()
        make_store(folder / name)
    for old, new in NEW.items():
        ModelStore(folder / "calm" / "models").rename(old, new)
    with EmbeddedRedis() as calm, EmbeddedRedis() as stormy:
        with Redis.from_url(calm.url, protocol=2) as redis:
            push(redis, [_renamed(fields) for fields in before] + after, start=0)
            finish(start_worker(folder / "calm", calm.url, "--burst"))
            expected = Published.read(redis)
        with Redis.from_url(stormy.url, protocol=2) as redis:
            push(redis, before, start=0)
            count = _storm(folder / "stormy", stormy.url, redis, after, len(before), kills, random.Random(seed))
            finish(start_worker(folder / "stormy", stormy.url, "--burst"))
            return _lives(count, expected, redis, folder)


def _halves(count: int, seed: int) -> tuple[list[dict[bytes, bytes]], list[dict[bytes, bytes]]]:
    """Return the readings before and after the commands; those after it use the new names."""
    readings = make_readings(count, seed)
    gone = {name.encode() for name in DELETED}
    after = [fields for fields in readings[count // 2 :] if fields[b"series"] not in gone]
    others = [fields for fields in after if fields[b"series"] not in NAMES]
    return readings[: count // 2], others + [_renamed(fields) for fields in after if fields[b"series"] in NAMES]


def _renamed(fields: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """Return fields of a reading, a forecast or a dead letter with the new name of its series."""
    return {
        name: NAMES.get(value, value) if name in (b"series", b"original.series") else value
        for name, value in fields.items()
    }


def _storm(
    folder: Path, url: str, redis: Redis, after: list[dict[bytes, bytes]], start: int, kills: int, rng: random.Random
) -> int:
    """Run the commands while workers live and die; return the number of kills before all commands were done."""
    requests = [SeriesRequest(series=old, new=new) for old, new in NEW.items()]
    requests += [SeriesRequest(series=name, purging=True) for name in sorted(DELETED)]
    settings = load_settings(redis_url=url, store=folder / "models")
    others = sum(fields[b"series"] not in NAMES.values() for fields in after)
    finish(start_worker(folder, url, "--burst"))  # the series exist
    pushed = count = 0
    with ThreadPoolExecutor(len(NEW) + len(DELETED)) as commands:
        done: list[Future[str]] = []
        while count < kills or not all(each.done() for each in done):
            if requests:
                done.append(commands.submit(change_series, settings, requests.pop(), PATIENCE_S))
                until(lambda: redis.hlen("orders") or done[-1].done())
            part = after[pushed : min(pushed + PART, others)]
            push(redis, part, start + pushed)
            pushed += len(part)
            epoch = redis.hget("lease", "epoch")
            worker = start_worker(folder, url)
            until(lambda: redis.hget("lease", "epoch") != epoch)  # noqa: B023 - it is called at once
            if count < kills:
                time.sleep(rng.random() * LONGEST_LIFE_S)
                count += 1
            else:
                wait(done, PATIENCE_S)
            worker.kill()
            worker.wait()
        wait(done)
        for each in done:
            each.result()
    push(redis, after[pushed:], start + pushed)
    return count


def _lives(kills: int, expected: Published, redis: Redis, folder: Path) -> Lives:
    published = Published.read(redis)
    renamed = replace(published, forecasts=_entries(published.forecasts), dead=_entries(published.dead), events=[])
    kept = {name: raw for name, raw in expected.states.items() if _series(name) not in DELETED}
    expected = replace(expected, forecasts=_kept(expected.forecasts), dead=_kept(expected.dead))
    events = Counter(fields[b"kind"].decode() for _, fields in redis.xrange("events"))
    stores = [set(ModelStore(folder / name / "models").served()) for name in ("calm", "stormy")]
    return Lives(
        kills,
        compare(replace(expected, states=kept, events=[]), renamed),
        {kind: events[kind] for kind in ("series_renamed", "series_deleted")},
        (stores[0] - DELETED) ^ stores[1],
        {_series(name) for name in redis.hkeys("state")} & {*NEW, *DELETED} | _in_streams(redis),
    )


def _entries(entries: Entries) -> Entries:
    return [(entry_id, _renamed(fields)) for entry_id, fields in entries]


def _kept(entries: Entries) -> Entries:
    """Return the entries of the series that are not deleted."""
    gone = {name.encode() for name in DELETED}
    return [entry for entry in entries if not gone & {entry[1].get(b"series"), entry[1].get(b"original.series")}]


def _in_streams(redis: Redis) -> set[str]:
    """Return the deleted series that streams hold beside the events of their end."""
    entries = [fields for key in ("readings", "forecasts", "dead", "events") for _, fields in redis.xrange(key)]
    left = [fields for fields in entries if fields.get(b"kind") != b"series_deleted"]
    return {
        name.decode() for fields in left for name in (fields.get(b"series"), fields.get(b"original.series")) if name
    } & DELETED


def _series(field: bytes) -> str:
    return field.decode().partition("\x1f")[0]
