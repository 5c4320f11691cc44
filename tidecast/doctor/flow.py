"""Check the flow of readings: leases, lag, lost readings and dead letters."""

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import cast

from redis.exceptions import ResponseError

from tidecast.connection.lag import lag_of, was_recreated
from tidecast.connection.partitions import (
    has_group,
    newest_entries,
    offset_of,
    oldest_wait_s,
    read_lag,
    stream_info,
    whole_number,
)
from tidecast.doctor.finding import Case, Finding, id_ms
from tidecast.durations import DAY_MS, HOUR_MS
from tidecast.log_lines import plain
from tidecast.moments import utc_text
from tidecast.settings import LONGEST_LEASE_S
from tidecast.settings.agreed import REMEDY, differences
from tidecast.wire import DISPOSITIONS, Keys, common_keys, id_pair, is_entry_id, layout_of
from tidecast.wire.parsing import ID_AHEAD_MS

WAITED_S = (10.0, 60.0)  # age of the oldest unanswered reading for severity `warning` and `error`
RECENT_MS = HOUR_MS
SEEN_MS = 60_000  # a twin, or a worker that stands by, counts as present for this long after it was last seen
PASSED_OVER = (20, 0.1)  # a number, and a share, of late and duplicate readings that is usual
COUNTED = 1000  # most dead letters that are counted


def lease(case: Case) -> Iterator[Finding]:
    """Check that every partition has a live worker, and that leases do not exceed their longest duration."""
    yield from _roster(case)
    for keys in case.partitions():
        if not _is(case, keys.lease, b"hash") and case.redis.exists(keys.lease):
            continue  # reported by `types`
        owner, expires = cast("list[bytes | None]", case.redis.hmget(keys.lease, ["owner", "expires_ms"]))
        silent_ms = case.server_ms() - (whole_number(expires) or 0)
        remedy = "start `tidecast worker` with these settings"
        if owner is None:
            yield Finding("lease", "error", f"no worker answers {keys.readings}", remedy)
        elif silent_ms > 0:
            name = owner.decode(errors="backslashreplace")
            problem = f"{name}, which answered {keys.readings}, has been silent since "
            problem += f"its lease ended {silent_ms / 1000:.0f} s ago"
            yield Finding("lease", "error", problem, f"check its log; {remedy}")
        elif -silent_ms > LONGEST_LEASE_S * 1000:
            problem = (
                f"the lease in {keys.lease} ends {utc_text(case.server_ms() - silent_ms)}, later than any lease may"
            )
            yield Finding("lease", "error", problem, f"{remedy}: it corrects the lease")


def names(case: Case) -> Iterator[Finding]:
    """Check that worker names are unique: two workers of the same name take the partitions from each other."""
    for keys in case.partitions():
        if not _is(case, keys.lease, b"hash"):
            continue
        owner, twin_ms = cast("list[bytes | None]", case.redis.hmget(keys.lease, ["owner", "twin_ms"]))
        if owner and case.server_ms() - (whole_number(twin_ms) or 0) < SEEN_MS:
            problem = f"two workers are called {owner.decode(errors='backslashreplace')}, and both want {keys.readings}"
            yield Finding(
                "worker_names", "error", problem, "give each worker a worker.name of its own, or leave it empty"
            )
            return


def workers_settings(case: Case) -> Iterator[Finding]:
    """Check that the workers have the same settings, as far as forecasts or the data that is kept depend on them."""
    known: dict[str, str] = {}  # the settings of live workers, by name
    for keys in case.partitions():
        if _is(case, keys.lease, b"hash"):
            fields = ["owner", "settings", "expires_ms", "other", "other_settings", "other_ms"]
            raw = cast("list[bytes | None]", case.redis.hmget(keys.lease, fields))
            now_ms = case.server_ms()
            for (name, text, ms), kept_ms in ((raw[:3], 0), (raw[3:], SEEN_MS)):
                if name and text and (whole_number(ms) or 0) + kept_ms > now_ms:
                    known[name.decode(errors="backslashreplace")] = text.decode(errors="backslashreplace")
    first = next(iter(known), "")
    for other, settings in known.items():
        if problem := differences(known[first], settings, first, other):
            yield Finding("worker_settings", "warning", problem, REMEDY)
            return


def groups(case: Case) -> Iterator[Finding]:
    """Check that the consumer groups exist: `wait_for_group`, and the passive group that shows the lag."""
    worker = case.settings.worker
    for keys in _in_order(case):
        if worker.wait_for_group and not has_group(case.redis, keys.forecasts, worker.wait_for_group):
            problem = (
                f"{keys.forecasts} has no group {worker.wait_for_group}, which worker.wait_for_group names: workers "
            )
            problem += f"wait for it once {worker.forecasts_kept} forecasts are there"
            remedy = f"XGROUP CREATE {keys.forecasts} {worker.wait_for_group} 0 MKSTREAM, or correct the setting"
            yield Finding("group", "error", problem, remedy)
        recreated_stream = was_recreated(case.redis.xinfo_stream(keys.readings), _last(case, keys))  # see `recreated`
        if (
            case.redis.exists(keys.offset)
            and not recreated_stream
            and not has_group(case.redis, keys.readings, worker.lag_group)
        ):
            problem = f"{keys.readings} has no group {worker.lag_group}, whose lag shows how many readings wait"
            yield Finding("group", "warning", problem, "push a reading: the next commit creates it again")


def _roster(case: Case) -> Iterator[Finding]:
    """Check that no worker is registered as alive for longer than the longest lease."""
    key = common_keys(case.settings.namespace)[1]
    latest_ms = case.server_ms() + LONGEST_LEASE_S * 1000
    if not _is(case, key, b"hash"):
        return
    for name, raw in cast("dict[bytes, bytes]", case.redis.hgetall(key)).items():
        if (until_ms := whole_number(raw)) is not None and until_ms > latest_ms:
            problem = f"{name.decode(errors='backslashreplace')} counts as alive until {utc_text(until_ms)} in {key}, "
            problem += "later than any worker may: the others leave partitions to it"
            yield Finding("lease", "error", problem, "start a worker, which corrects it, or delete the field")


def lag(case: Case) -> Iterator[Finding]:
    """Check that readings are answered soon."""
    for keys in _in_order(case):
        waited_s = oldest_wait_s(case.redis, keys, _last(case, keys), case.server_ms())
        if waited_s is not None and waited_s > WAITED_S[0]:
            problem = f"{_waiting(case, keys)}in {keys.readings} wait for an answer, the oldest for {waited_s:.0f} s"
            remedy = "start a worker where there is none; else raise partitions and share them among more workers"
            yield Finding("lag", "error" if waited_s > WAITED_S[1] else "warning", problem, remedy)


def _waiting(case: Case, keys: Keys) -> str:
    """Return the number of unanswered readings as words before the stream's name, if Redis counts them."""
    count = read_lag(case.redis, keys, offset_of(case.redis, keys)).unread
    return f"{count} readings " if count else "readings "


def ids(case: Case) -> Iterator[Finding]:
    """Check that entry ids, which are times, are not ahead of the clock: ids never decrease, so this would last."""
    for keys in _in_order(case):
        newest = case.redis.xinfo_stream(keys.readings)["last-generated-id"]
        ahead_ms = id_ms(newest) - case.server_ms()
        if ahead_ms > ID_AHEAD_MS:
            ahead = f"{ahead_ms / 1000:.0f} s" if ahead_ms < DAY_MS else f"{ahead_ms / DAY_MS:.0f} days"
            problem = (
                f"the newest entry id in {keys.readings}, {newest.decode()}, is {ahead} ahead of Redis' clock, and so "
            )
            problem += (
                "are all after it: readings without ts get the worker's clock, and worker.retention keeps all of them"
            )
            streams = f"{keys.readings}, {keys.forecasts} and {keys.dead}"
            remedy = f"send a ts; for ids that are times again, rename {streams} once all readings are answered"
            yield Finding("entry_ids", "warning", problem, remedy)


def trimmed(case: Case) -> Iterator[Finding]:
    """Check that readings were not trimmed before they were read."""
    remedy = "keep readings longer: let no producer trim below what workers have read; worker.retention never does"
    for keys in _in_order(case):
        info = case.redis.xinfo_stream(keys.readings)
        offset = offset_of(case.redis, keys)
        gone = lag_of(info, offset.progress).lost if "read" in offset.counts else 0
        if gone:
            problem = f"readings in {keys.readings} that were trimmed before they were read: {gone}"
            yield Finding("trimmed", "error", problem, remedy)
        if lost := offset.counts.get("lost"):
            problem = f"readings of {keys.readings} that were ever trimmed before they were read: {lost}"
            yield Finding("lost", "warning", problem, remedy)


def recreated(case: Case) -> Iterator[Finding]:
    """Check that the readings' ids do not end before the offset, as in a stream that was deleted and recreated."""
    for keys in _in_order(case):
        info = case.redis.xinfo_stream(keys.readings)
        last = _last(case, keys)
        if not was_recreated(info, last):
            continue
        first = id_pair(info["first-entry"][0])
        above = [key for key in (keys.forecasts, keys.dead) if id_pair(_newest(case, key)) >= first]
        newest = info["last-generated-id"].decode()
        problem = (
            f"the {info['length']} readings in {keys.readings} have ids up to {newest}, before the last one answered, "
        )
        problem += f"{last}: the stream was recreated"
        if above:
            problem += f", and they cannot be answered, because {' and '.join(above)} hold higher ids than theirs"
        remedy = (
            f"rename {' and '.join(above)}; the worker then goes on" if above else "start a worker: it answers them"
        )
        yield Finding("recreated", "error", problem, remedy)


def _newest(case: Case, key: str) -> bytes:
    """Return the highest id that a stream has ever had."""
    info = stream_info(case.redis, key) if _is(case, key, b"stream") else None
    return cast("bytes", info["last-generated-id"]) if info else b"0-0"


def ahead(case: Case) -> Iterator[Finding]:
    """Check that the forecasts do not go beyond the offset: otherwise a worker cannot publish."""
    for keys in _in_order(case):
        if not _is(case, keys.forecasts, b"stream"):
            continue
        # Read the forecasts first: a commit between the two commands moves the offset beyond them.
        newest = case.redis.xinfo_stream(keys.forecasts)["last-generated-id"]
        last = _last(case, keys)
        if id_pair(newest) > id_pair(last):
            problem = f"{keys.forecasts} goes on to {newest.decode()}, but readings are answered to {last} only"
            remedy = f"restore {keys.offset}, or rename {keys.forecasts} if another program wrote there"
            yield Finding("forecasts_ahead", "error", problem, remedy)


def blocks(case: Case) -> Iterator[Finding]:
    """Check that stream blocks are limited: trimmed entries keep their memory while others are in their block."""
    limits = {}
    for name in ("stream-node-max-entries", "stream-node-max-bytes"):
        with suppress(ResponseError):  # a service that hides CONFIG
            limits[name] = case.server.config_get(name).get(name)
    if list(limits.values()) == ["0", "0"]:
        problem = f"{' and '.join(limits)} are 0: Redis keeps the memory of trimmed entries for long"
        yield Finding("stream_blocks", "warning", problem, "set stream-node-max-entries 100, Redis' default")


def dead(case: Case) -> Iterator[Finding]:
    """Check that no recent readings became dead letters, also before a repartition within the hour."""
    layout = layout_of(case.settings)
    for keys in (*layout.present(), *layout.former()):
        if not _is(case, keys.dead, b"stream"):
            continue
        since = case.server_ms() - RECENT_MS
        letters = list(newest_entries(case.redis, keys.dead, COUNTED, since))
        if letters:
            reasons = Counter(fields.get(b"reason", b"?").decode(errors="backslashreplace") for _, fields in letters)
            listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(3))
            number = f"{COUNTED} or more" if len(letters) == COUNTED else str(len(letters))
            newest = letters[0][1]
            detail = newest.get(b"detail", b"").decode(errors="backslashreplace")
            name = newest.get(b"original.series", b"").decode(errors="backslashreplace")
            series = plain(name) or "a reading without a name"
            problem = f"readings rejected within the hour (stream {keys.dead}): {number} ({listed})"
            remedy = f"the newest, of {series}: {detail}; `tidecast dead` lists them"
            yield Finding("dead", "warning", problem, remedy)


def late(case: Case) -> Iterator[Finding]:
    """Check that most readings get a forecast: those that are late or duplicates get none."""
    for keys in case.partitions():
        if not _is(case, keys.offset, b"hash"):
            continue
        offset = offset_of(case.redis, keys)
        passed_over = offset.counts.get("late", 0) + offset.counts.get("duplicate", 0)
        if passed_over > max(PASSED_OVER[0], PASSED_OVER[1] * offset.answered):
            counts = ", ".join(f"{offset.counts.get(name, 0)} {name}" for name in DISPOSITIONS)
            problem = f"many readings of {keys.readings} got no forecast since the beginning: {counts}"
            remedy = "send the readings of a series in the order of their ts, and each ts once"
            yield Finding("late", "warning", problem, remedy)


def _in_order(case: Case) -> Iterator[Keys]:
    """Yield the partitions with valid readings and a valid offset; `types` and `numbers` report the others."""
    for keys in case.partitions():
        offset = cast("bytes", case.redis.type(keys.offset))
        right = _is(case, keys.readings, b"stream") and offset in (b"none", b"hash")
        if right and is_entry_id(_last(case, keys)):
            yield keys


def _is(case: Case, key: str, kind: bytes) -> bool:
    return bool(case.redis.type(key) == kind)


def _last(case: Case, keys: Keys) -> str:
    last = cast("bytes | None", case.redis.hget(keys.offset, "last"))
    return "0-0" if last is None else last.decode(errors="replace")
