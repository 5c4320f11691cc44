"""Faults to seed into a healthy installation, and the finding that each must cause."""

import time
from collections.abc import Callable

import pytest

from tests.harness.events import happen
from tests.harness.installation import Installation
from tests.tidecast.doctor.schedule_faults import (
    AHEAD_MS,
    distant_claim,
    distant_retry,
    kept_by_nobody_by_default,
    nobody_notifies,
    not_delivered,
    overdue,
    refused_events,
    run_died,
    run_failed,
    trimmed_events,
    waiting_events,
)
from tests.tidecast.doctor.server_faults import (
    endless_blocks,
    evicting,
    full,
    full_disk,
    nearly_full,
    wrong_type,
)
from tests.tidecast.doctor.store_faults import (
    broken_champion,
    champion_to_come,
    damaged_pointer,
    damaged_series,
    dangling_pointer,
    known_ends,
    known_ran_out,
    no_directory,
    no_store,
)
from tests.tidecast.doctor.stream_faults import (
    another_awaited_group,
    far_ids,
    hurried_ids,
    no_awaited_group,
    no_passive_group,
    put_aside,
    recreated,
    set_aside,
    slow,
    stuck,
    too_late,
)
from tidecast.connection.repartitions import Repartition, order_repartition
from tidecast.errors import Fenced
from tidecast.online.series.state import SeriesState
from tidecast.online.window import Window
from tidecast.settings import AnomalySettings, SeriesSettings
from tidecast.wire import Event
from worker.main import make_worker
from worker.metrics import Health

Fault = Callable[[Installation], Installation | None]


def sent(name: str, command: str, *more: bytes | str | int) -> Fault:
    """Return a fault with this name: a command to Redis, its words apart from the last ones."""

    def fault(installation: Installation) -> None:
        installation.redis.execute_command(*command.split(), *more)

    fault.__name__ = name
    return fault


def other_partitions(installation: Installation) -> Installation:
    """Settings that contradict Redis."""
    return installation.told(partitions=4)


def silent(installation: Installation) -> None:
    """A sensor that sends nothing any more."""
    state = SeriesState(("value",), Window(10, 1))
    state.fields.watch["silent"] = 1
    installation.redis.hset("state", mapping=dict(state.changes("pump-1")))
    happen(installation.redis, Event("silent", "no reading for 4s", "pump-1"))


def mistyped_pattern(installation: Installation) -> Installation:
    """Return a rule for a series that is written in another way."""
    return installation.told(anomalies=AnomalySettings(series=[{"pattern": "A*", "muted": True}]))


def hidden_pattern(installation: Installation) -> Installation:
    """Return a unit for the only series, which has another one from the pattern before."""
    return installation.told(series=SeriesSettings(units={"a": "°C", "*": "bar"}))


def stands_still(installation: Installation) -> Installation:
    """Return a repartition that was ordered long ago."""
    assert order_repartition(installation.redis, "", Repartition(4, 1, 1, 1))
    return installation


def closed_alone(installation: Installation) -> Installation:
    """Return a closed partition whose repartition somebody has deleted."""
    installation.redis.hset("offset", "closed", 1)
    return installation


def unrouted(installation: Installation) -> Installation:
    """Return several partitions, and readings of a producer without the setting that no router sees."""
    for key in installation.redis.scan_iter():
        if key not in (b"readings", b"partitions"):
            installation.redis.rename(key, b"{0}:" + key)
    installation.redis.copy("readings", "{0}:readings")
    for key in (b"{0}:lease",):
        installation.redis.copy(key, b"{1}:lease")
    installation.redis.copy("{0}:retrain", "{1}:retrain")
    installation.redis.set("partitions", 2)
    return installation.told(partitions=2)


def other_state(installation: Installation) -> None:
    """Written by a version to come."""
    head = installation.redis.hget("state", "a")
    assert head
    installation.redis.hset("state", "a", b"\xfe" + head[1:])


def stopped(installation: Installation) -> None:
    """The worker has left."""
    installation.worker.leave()


def killed(installation: Installation) -> None:
    """The worker was, a minute ago."""
    installation.redis.hset("lease", "expires_ms", time.time_ns() // 1_000_000 - 60_000)


def twins(installation: Installation) -> None:
    """A second worker under the name of the first, which wants its partition back."""
    named = installation.settings.model_copy(
        update={"worker": installation.settings.worker.model_copy(update={"name": "one"})}
    )
    installation.worker.leave()
    first, second = (make_worker(named, Health()) for _ in range(2))
    for worker in (first, second):
        worker.step(time.time())
    with pytest.raises(Fenced):
        first.step(time.time() + 30)
    first.step(time.time() + 31)


def other_settings(installation: Installation) -> None:
    """A second worker that stands by, with another horizon."""
    named = installation.settings.worker.model_copy(update={"name": "one"})
    other = installation.settings.model_copy(update={"worker": named, "series": SeriesSettings(horizon=3)})
    make_worker(other, Health()).step(time.time())


FAULTS: list[tuple[Fault, str, str, str]] = [
    (sent("forgetful", "CONFIG SET appendonly no"), "persistence", "warning", "appendonly yes"),
    (full_disk, "disk", "error", "free its disk"),
    (evicting, "eviction", "error", "maxmemory-policy noeviction"),
    (nearly_full, "memory", "warning", "raise maxmemory"),
    (full, "memory", "error", "raise maxmemory"),
    (sent("replica", "REPLICAOF 127.0.0.1 1"), "replica", "error", "the master, 127.0.0.1:1"),
    (sent("alone", "CONFIG SET min-replicas-to-write 1"), "replicas", "error", "lower min-replicas-to-write"),
    (wrong_type, "key_types", "error", "rename or delete that key"),
    (sent("wrong_known", "SET known other"), "key_types", "error", "rename or delete that key"),
    (sent("wrong_notify", "SET notify other"), "key_types", "error", "rename or delete that key"),
    (sent("wrong_claim", "RPUSH repartition_claim other"), "key_types", "error", "rename or delete that key"),
    (other_partitions, "partitions", "warning", "change it with `tidecast repartition --to 4`"),
    (stands_still, "repartition", "error", "it tries again by itself"),
    (closed_alone, "repartition", "error", "give the command `tidecast repartition --to N` again"),
    (unrouted, "router", "warning", "the worker that holds partition 0"),
    (other_state, "state", "error", "run the version of the worker that wrote them"),
    (stopped, "lease", "error", "start `tidecast worker`"),
    (killed, "lease", "error", "check its log"),
    (slow, "lag", "warning", "start a worker"),
    (stuck, "lag", "error", "start a worker"),
    (set_aside, "dead", "warning", "n/a"),
    (mistyped_pattern, "patterns", "warning", "correct the pattern"),
    (hidden_pattern, "patterns", "warning", "put it before"),
    (silent, "conditions", "warning", "check the sensor and its sender"),
    (
        sent("rejected_known", "XADD known_dead * reason bad_value detail n/a original.series a"),
        "known_rejected",
        "warning",
        "the newest: n/a",
    ),
    (known_ran_out, "known_missing", "warning", "client.push_known"),
    (known_ends, "known_ending", "warning", "`series.horizon` steps ahead"),
    (too_late, "late", "warning", "in the order of their ts"),
    (far_ids, "entry_ids", "warning", "rename readings, forecasts and dead once all"),
    (hurried_ids, "entry_ids", "warning", "send a ts"),
    (recreated, "recreated", "error", "rename forecasts; the worker then goes on"),
    (put_aside, "recreated", "error", "start a worker"),
    (no_awaited_group, "group", "error", "XGROUP CREATE forecasts plant 0"),
    (another_awaited_group, "group", "error", "XGROUP CREATE forecasts plamt 0"),
    (no_passive_group, "group", "warning", "the next commit creates it again"),
    (other_settings, "worker_settings", "warning", "the same settings and version"),
    (twins, "worker_names", "error", "a worker.name of its own"),
    (endless_blocks, "stream_blocks", "warning", "stream-node-max-entries 100"),
    (sent("foreign_forecasts", "XADD forecasts * series a"), "forecasts_ahead", "error", "rename forecasts"),
    (no_store, "store", "warning", "tidecast train"),
    (no_directory, "store", "error", "correct the setting store"),
    (damaged_pointer, "pointer", "error", "tidecast models promote"),
    (dangling_pointer, "pointer", "error", "tidecast models promote"),
    (broken_champion, "champions", "error", "tidecast models rollback a"),
    (champion_to_come, "champions", "error", "tidecast models rollback a"),
    (damaged_series, "champions", "error", "restore the store"),
    (overdue, "schedule", "error", "tidecast retrain --daemon"),
    (sent("kept_by_nobody", "DEL retrain"), "schedule", "warning", "tidecast retrain --daemon"),
    (kept_by_nobody_by_default, "schedule", "warning", 'or set retrain.every = "never"'),
    (run_failed, "retraining", "warning", "tidecast events"),
    (sent("distant_run", "HSET retrain next_ms", AHEAD_MS), "schedule", "error", "it corrects the time"),
    (distant_retry, "schedule", "error", "it corrects the time"),
    (distant_claim, "schedule", "error", "check its log"),
    (sent("distant_lease", "HSET lease expires_ms", AHEAD_MS), "lease", "error", "it corrects the lease"),
    (sent("ghost", "HSET workers ghost", AHEAD_MS), "lease", "error", "delete the field"),
    (sent("no_number", "HSET offset read many"), "stored_numbers", "error", "which corrects it"),
    (sent("no_entry_id", "HSET offset last soon"), "stored_numbers", "error", "delete the key: the next worker"),
    (sent("no_count_of_partitions", "SET partitions many"), "partitions", "error", "delete it while no worker runs"),
    (sent("no_time", "HSET retrain due_ms", "9" * 5000), "stored_numbers", "error", "which corrects it"),
    (sent("no_epoch", "HSET lease epoch", b"\xff"), "stored_numbers", "error", "delete the key while no worker runs"),
    (run_died, "schedule", "error", "tidecast retrain --daemon"),
    (nobody_notifies, "notifications", "error", "start `tidecast notify`"),
    (not_delivered, "notifications", "error", "tidecast notify --test"),
    (refused_events, "notifications", "error", "correct notify.format"),
    (trimmed_events, "notifications", "warning", "raise worker.events_kept and notify.rate"),
    (waiting_events, "notifications", "warning", "raise notify.rate"),
]
