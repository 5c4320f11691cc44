"""The keys: that they are ours, of this version's form, and as many as the settings say."""

from collections.abc import Iterator
from typing import Any, cast

from tidecast.client import check_partitions
from tidecast.doctor.finding import Case, Finding
from tidecast.errors import SettingsError
from tidecast.wire import SEPARATOR, STATE_FORMAT, common_keys, keys_of

KINDS = {  # of Redis' types
    "readings": "stream",
    "forecasts": "stream",
    "dead": "stream",
    "events": "stream",
    "state": "hash",
    "offset": "hash",
    "lease": "hash",
    "retrain": "hash",
}
LOOKED_AT = 1000  # fields of a partition's states: a worker reads all or none


def types(case: Case) -> Iterator[Finding]:
    """Every key is of the type that Tidecast gives it."""
    number, workers = common_keys(case.settings.namespace)
    wanted = {getattr(keys, name): kind for keys in case.partitions() for name, kind in KINDS.items()}
    for key, kind in (wanted | {number: "string", workers: "hash"}).items():
        found = cast("bytes", case.redis.type(key)).decode()
        if found not in ("none", kind):
            remedy = "rename or delete that key, or set another namespace"
            yield Finding("types", "wrong", f"the key {key} is a {found}, not a {kind}: it is not Tidecast's", remedy)


def partitions(case: Case) -> Iterator[Finding]:
    """Redis was set up for as many partitions as the settings say, and no readings lie where nobody looks."""
    key, settings = common_keys(case.settings.namespace)[0], case.settings
    if case.redis.type(key) not in (b"none", b"string"):
        return  # which `types` tells
    try:
        check_partitions(key, cast("bytes | None", case.redis.get(key)), settings.partitions)
    except SettingsError as exc:
        found, _, remedy = str(exc).rpartition(": ")
        yield Finding("partitions", "wrong", found, f"in the settings {remedy}")
        return
    plain = keys_of(namespace=settings.namespace).readings
    if settings.partitions > 1 and case.redis.type(plain) == b"stream":
        found = f"{case.redis.xlen(plain)} readings are in {plain}, where no worker of several partitions looks"
        remedy = "set partitions for their producer too, push them again, and delete that key"
        yield Finding("misplaced", "warning", found, remedy)


def state(case: Case) -> Iterator[Finding]:
    """What is remembered of the series was written in the form that this version reads."""
    for keys in case.partitions():
        if case.redis.type(keys.state) != b"hash":
            continue
        _, fields = cast("Any", case.redis.hscan(keys.state, 0, count=LOOKED_AT))
        heads = {name: raw for name, raw in fields.items() if SEPARATOR.encode() not in name}
        odd = {name: raw for name, raw in heads.items() if raw[:1] != bytes([STATE_FORMAT])}
        for name, raw in list(odd.items())[:1]:
            form = raw[0] if raw else "none"
            found = f"{len(odd)} of {len(heads)} states in {keys.state} are of another format, such as {form} of "
            found += f"{name.decode(errors='backslashreplace')}; this version reads {STATE_FORMAT}"
            remedy = f"run the version of the worker that wrote them, or delete {keys.state} to begin its windows anew"
            yield Finding("state", "wrong", found, remedy)
