"""Run all checks, one after the other."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from tidecast.connection import connect, explain, lacks_right
from tidecast.connection.partitions import at_present
from tidecast.connection.portion import answers
from tidecast.connection.redis_errors import unknown_command
from tidecast.doctor import (
    commands,
    conditions,
    flow,
    keys,
    known,
    models,
    notifications,
    partitions,
    patterns,
    rights,
    schedule,
    server,
)
from tidecast.doctor.finding import Case, Check, Finding
from tidecast.doctor.reach import obstacle, unreached
from tidecast.errors import SettingsError
from tidecast.settings import Settings

OF_REDIS: Mapping[str, Check] = MappingProxyType(
    {
        "version": server.version,
        "persistence": server.persistence,
        "memory": server.memory,
        "role": server.role,
        "clock": server.clock,
        "commands": commands.commands,
        "rights": rights.rights,
        "key_types": keys.types,
        "stored_numbers": keys.numbers,
        "partitions": partitions.partitions,
        "router": partitions.router,
        "repartition": partitions.repartition,
        "state": keys.state,
        "lease": flow.lease,
        "worker_names": flow.names,
        "worker_settings": flow.workers_settings,
        "groups": flow.groups,
        "lag": flow.lag,
        "entry_ids": flow.ids,
        "trimmed": flow.trimmed,
        "recreated": flow.recreated,
        "forecasts_ahead": flow.ahead,
        "stream_blocks": flow.blocks,
        "dead": flow.dead,
        "late": flow.late,
        "known_rejected": known.rejected,
        "known_missing": known.missing,
        "conditions": conditions.conditions,
        "patterns": patterns.patterns,
        "schedule": schedule.overdue,
        "notifications": notifications.notifications,
    }
)
OF_THE_STORE: Mapping[str, Check] = MappingProxyType(
    {"store": models.store, "bucket": models.bucket, "champions": models.champions}
)


def examine(settings: Settings, clock: Callable[[], float] = time.time) -> list[Finding]:
    """Run all checks and return their findings; an empty list means a healthy installation.

    Args:
        settings: the settings of the installation.
        clock: returns the time of this machine, in epoch seconds.
    """
    try:
        with connect(settings.model_copy(update={"redis_cluster": False})) as named:
            return list(_examined(settings, named, clock))
    except SettingsError as exc:
        return [Finding("settings", "error", str(exc), "correct the setting; docs/reference.md lists them all")]


def _examined(settings: Settings, named: Redis, clock: Callable[[], float]) -> Iterator[Finding]:
    yield from _each(OF_THE_STORE, Case(settings, named, named, clock))
    try:
        if stopped := obstacle(named, settings):
            yield stopped
            return
        redis = connect(settings) if settings.redis_cluster else named
        present = settings
        with suppress(SettingsError, ResponseError):  # a check reports it
            present = at_present(redis, settings)
    except RedisError as exc:
        yield unreached(exc, settings.redis_url.get_secret_value())
        return
    try:
        yield from _each(OF_REDIS, Case(present, redis, named, clock, settings.partitions))
    finally:
        redis.close()


def _each(checks: Mapping[str, Check], case: Case) -> Iterator[Finding]:
    """Run the checks; a check that fails with an error yields a finding, and the other checks still run."""
    forbidden: list[str] = []
    unknown: list[str] = []
    for name, check in checks.items():
        try:
            for finding in check(case):
                yield finding
                if finding.check == "partitions" and finding.severity == "error":
                    return  # the names of the keys are not known then
        except RedisError as exc:
            if lacks_right(exc):
                forbidden.append(name)
            elif unknown_command(exc):
                unknown.append(name)
            elif isinstance(exc, ResponseError):
                yield Finding(name, "warning", f"this check failed: {explain(exc)}", "check it with redis-cli")
            elif answers(case.redis):  # Redis closes the connection because of one reply, such as a very large entry
                remedy = "raise client-output-buffer-limit, or check it with redis-cli"
                yield Finding(name, "warning", f"this check failed: {explain(exc)}", remedy)
            else:
                yield Finding("redis", "error", f"Redis no longer answers: {explain(exc)}", "check its log")
                return
        except (
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
        ) as exc:  # a reply in another format than that of Redis
            problem = f"this check failed, because the server answers otherwise than Redis: {type(exc).__name__}: {exc}"
            yield Finding(name, "warning", problem, "check it with redis-cli")
    yield from _skipped(forbidden, unknown)


def _skipped(forbidden: Sequence[str], unknown: Sequence[str]) -> Iterator[Finding]:
    """Yield the checks that were skipped, with the reason."""
    if forbidden:
        problem = f"the user that redis_url names lacks rights of the doctor; not checked: {', '.join(forbidden)}"
        yield Finding(
            "skipped",
            "warning",
            problem,
            "grant it the rights in docs/how-to/doctor.md, or use another user",
        )
    if unknown:
        problem = f"the server lacks commands that the doctor needs; not checked: {', '.join(unknown)}"
        yield Finding(
            "skipped",
            "warning",
            problem,
            "enable INFO, CONFIG and those of the check `commands`",
        )
