"""Check the keys: their types and their format."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import cast

from tidecast.connection.partitions import whole_number
from tidecast.doctor.finding import Case, Finding
from tidecast.wire import (
    DISPOSITIONS,
    SEPARATOR,
    STATE_FORMAT,
    common_keys,
    is_entry_id,
    repartition_claim_key,
    repartition_key,
)
from tidecast.wire.known import known_keys

KINDS = {  # Redis types
    "readings": "stream",
    "forecasts": "stream",
    "dead": "stream",
    "events": "stream",
    "state": "hash",
    "offset": "hash",
    "lease": "hash",
    "retrain": "hash",
    "routed": "hash",
    "muted": "hash",
    "orders": "hash",
    "changed": "set",
    "requeued": "hash",
}
IN_LEASE = ("epoch", "expires_ms", "tried_size", "tries")
IN_OFFSET = ("read", "lost", *DISPOSITIONS)
IN_RETRAIN = ("next_ms", "due_ms", "retry_ms", "expires_ms", "tries", "runs", "started_ms", "ended_ms")
LONGEST_SHOWN = 40  # most bytes of an invalid value that are shown
_REMEDIES = {
    "epoch": "delete the key while no worker runs: no worker takes a partition whose epoch cannot be counted up",
    "started_ms": "the next run writes it again",
    "ended_ms": "the end of the next run writes it again",
}
PAGE = 50  # fields in a reply, since states may be large
LOOKED_AT = 1000  # most fields of a partition's states that are checked: a worker reads all states or none


def types(case: Case) -> Iterator[Finding]:
    """Check that every key has its expected Redis type."""
    namespace = case.settings.namespace
    number, workers = common_keys(namespace)
    expected = {getattr(keys, name): kind for keys in case.partitions() for name, kind in KINDS.items()}
    expected |= dict.fromkeys((number, repartition_key(namespace), repartition_claim_key(namespace)), "string")
    expected |= {workers: "hash"} | dict.fromkeys(known_keys(namespace), "stream")
    for key, kind in expected.items():
        yield from wrong_type(case, key, kind)


def wrong_type(case: Case, key: str, kind: str) -> Iterator[Finding]:
    """Check that a key has its Redis type, or does not exist."""
    actual = cast("bytes", case.redis.type(key)).decode()
    if actual not in ("none", kind):
        problem = f"the key {key} is a {actual}, not a {kind}: it is not Tidecast's"
        yield Finding("key_types", "error", problem, "rename or delete that key, or set another namespace")


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
            yield Finding("stored_numbers", "error", problem, _REMEDIES.get(name, "start a worker, which corrects it"))


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
            shown = name.decode(errors="backslashreplace")
            problem += f"{shown}; this version reads {STATE_FORMAT}, and a worker needs all of them"
            fewer = f"HDEL {keys.state} {shown}" if len(odd) < len(heads) else f"DEL {keys.state}"
            remedy = f"run the version of the worker that wrote them, or let their windows start again: {fewer}"
            yield Finding("state", "error", problem, remedy)
