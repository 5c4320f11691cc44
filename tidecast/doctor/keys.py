"""Check the keys: their types, their format, and the number of partitions."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, cast

from tidecast.connection.partitions import DELETE, check_partitions, whole_number
from tidecast.doctor.finding import Case, Finding
from tidecast.errors import SettingsError
from tidecast.wire import DISPOSITIONS, SEPARATOR, STATE_FORMAT, common_keys, id_pair, is_entry_id, keys_of

KINDS = {  # Redis types
    "readings": "stream",
    "forecasts": "stream",
    "dead": "stream",
    "events": "stream",
    "state": "hash",
    "offset": "hash",
    "lease": "hash",
    "retrain": "hash",
    "routed": "string",
    "muted": "hash",
    "orders": "hash",
    "requeued": "hash",
}
IN_LEASE = ("epoch", "expires_ms", "tried_size", "tries")
IN_OFFSET = ("read", "lost", *DISPOSITIONS)
IN_RETRAIN = ("next_ms", "due_ms", "retry_ms", "expires_ms", "tries", "runs", "started_ms", "ended_ms")
LONGEST_ROUTE_S = 10  # how old a reading may be that is not routed yet
LONGEST_SHOWN = 40  # most bytes of an invalid value that are shown
_REMEDIES = {
    "epoch": "delete the key while no worker runs: no worker takes a partition whose epoch cannot be counted up",
    "started_ms": "the next run writes it anew",
    "ended_ms": "the end of the next run writes it anew",
}
PAGE = 50  # fields in a reply, since states may be large
LOOKED_AT = 1000  # most fields of a partition's states that are checked: a worker reads all states or none


def types(case: Case) -> Iterator[Finding]:
    """Check that every key has its expected Redis type."""
    number, workers = common_keys(case.settings.namespace)
    expected = {getattr(keys, name): kind for keys in case.partitions() for name, kind in KINDS.items()}
    for key, kind in (expected | {number: "string", workers: "hash"}).items():
        actual = cast("bytes", case.redis.type(key)).decode()
        if actual not in ("none", kind):
            remedy = "rename or delete that key, or set another namespace"
            yield Finding(
                "key_types", "error", f"the key {key} is a {actual}, not a {kind}: it is not Tidecast's", remedy
            )


def numbers(case: Case) -> Iterator[Finding]:
    """Check the whole numbers and entry ids in the leases, the offsets, the schedules and the list of workers."""
    for keys in case.partitions():
        for key, names in ((keys.lease, IN_LEASE), (keys.offset, IN_OFFSET), (keys.retrain, IN_RETRAIN)):
            if case.redis.type(key) == b"hash":
                values = cast("list[bytes | None]", case.redis.hmget(key, names))
                yield from _not_whole(key, dict(zip(names, values, strict=True)))
            if key == keys.offset and case.redis.type(key) == b"hash":
                yield from _not_an_id(key, cast("bytes | None", case.redis.hget(key, "last")))
    roster = common_keys(case.settings.namespace)[1]
    if case.redis.type(roster) == b"hash":
        until = cast("dict[bytes, bytes]", case.redis.hgetall(roster))
        yield from _not_whole(roster, {name.decode(errors="backslashreplace"): raw for name, raw in until.items()})


def _not_an_id(key: str, last: bytes | None) -> Iterator[Finding]:
    if last is not None and not is_entry_id(last):
        problem = f"last in {key} is {last[:LONGEST_SHOWN].decode(errors='backslashreplace')!r}, not an entry id"
        yield Finding(
            "stored_numbers", "error", problem, "delete the key: the next worker goes on where the consumer group is"
        )


def _not_whole(key: str, values: Mapping[str, bytes | None]) -> Iterator[Finding]:
    for name, raw in values.items():
        if raw is not None and whole_number(raw) is None:
            problem = (
                f"{name} in {key} is {raw[:LONGEST_SHOWN].decode(errors='backslashreplace')!r}, not a whole number"
            )
            yield Finding(
                "stored_numbers", "error", problem, _REMEDIES.get(name, "a worker that looks at it puts it right")
            )


def partitions(case: Case) -> Iterator[Finding]:
    """Check the number of partitions in Redis, and that readings without their partition are routed."""
    key = common_keys(case.settings.namespace)[0]
    settings = case.settings
    if case.redis.type(key) not in (b"none", b"string"):
        return  # reported by `types`
    try:
        check_partitions(key, cast("bytes | None", case.redis.get(key)), settings.partitions)
    except SettingsError as exc:
        problem, _, remedy = str(exc).rpartition(": ")
        yield Finding("partitions", "error", problem, remedy if remedy == DELETE else f"in the settings {remedy}")
        return
    common = keys_of(namespace=settings.namespace)
    if settings.partitions == 1 or case.redis.type(common.readings) != b"stream":
        return
    waiting = case.redis.xlen(common.readings)
    if waiting and case.redis.exists(common.offset):
        problem = f"{waiting} readings in {common.readings} are not routed: a worker of one partition has answered them"
        remedy = f"rename or delete {common.offset} and {common.readings}, then restart the workers"
        yield Finding("router", "warning", problem, remedy)
    elif waiting and _age_s(case, common.readings) > LONGEST_ROUTE_S:
        problem = f"{waiting} readings in {common.readings} wait to be routed to their partitions"
        yield Finding("router", "warning", problem, "see the log of the worker that holds partition 0")


def _age_s(case: Case, stream: str) -> float:
    """Return how long ago the oldest entry of a stream arrived, by the clock of Redis; its entry id has the time."""
    entries = cast("list[tuple[bytes, Any]]", case.redis.xrange(stream, count=1))
    return (case.server_ms() - id_pair(entries[0][0])[0]) / 1000 if entries else 0.0


def state(case: Case) -> Iterator[Finding]:
    """Check that the states of the series have the format of this version."""
    for keys in case.partitions():
        if case.redis.type(keys.state) != b"hash":
            continue
        fields = dict(islice(case.redis.hscan_iter(keys.state, count=PAGE), LOOKED_AT))
        heads = {name: raw for name, raw in fields.items() if SEPARATOR.encode() not in name}
        odd = {name: raw for name, raw in heads.items() if raw[:1] != bytes([STATE_FORMAT])}
        for name, raw in list(odd.items())[:1]:
            form = raw[0] if raw else "none"
            problem = f"{len(odd)} of {len(heads)} states in {keys.state} are of another format, such as {form} of "
            problem += f"{name.decode(errors='backslashreplace')}; this version reads {STATE_FORMAT}"
            remedy = f"run the version of the worker that wrote them, or delete {keys.state} to begin its windows anew"
            yield Finding("state", "error", problem, remedy)
