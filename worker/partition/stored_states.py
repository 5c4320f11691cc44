"""Read the committed states of a partition's series in portions, since all of them together are large."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import chain, islice
from typing import cast

from redis import Redis

from tidecast.connection.portion import Portion, shrinking
from tidecast.errors import StateError
from tidecast.wire import SEPARATOR
from worker.failures.redis_failures import refusals_explained
from worker.scripts import script_of

SERIES_AT_ONCE = 256
FIELDS_AT_ONCE = 10_000
NAMES_AT_ONCE = 1000
LONGEST_SHOWN = 60  # bytes of a field's name


def fields_of(redis: Redis, key: str, names: Sequence[bytes]) -> Iterator[dict[str, bytes | None]]:
    """Yield some fields of the states with their values, a portion at a time; None for a field that does not exist."""
    portion = Portion(FIELDS_AT_ONCE)
    for at in range(0, len(names), FIELDS_AT_ONCE):
        some = list(names[at : at + FIELDS_AT_ONCE])
        yield {name.decode(): raw for name, raw in _values(redis, key, some, portion)}


def states_of(redis: Redis, key: str) -> Iterator[dict[str, bytes]]:
    """Yield the fields of some series at a time, each series whole; the caller must hold the lease.

    While their names are listed, it yields nothing several times, so that the caller can renew its lease.

    Raises:
        StateError: a field has a name that no worker has written.
    """
    fields: dict[bytes, dict[bytes, None]] = {}
    for names in _names(redis, key):
        _check_names(names, key)
        for name in names:
            fields.setdefault(name.partition(SEPARATOR.encode())[0], {})[name] = None
        yield {}
    series = iter(fields.values())
    portion = Portion(FIELDS_AT_ONCE)

    def read() -> dict[str, bytes]:
        some = list(chain.from_iterable(islice(series, SERIES_AT_ONCE)))
        return {name.decode(): raw for name, raw in _values(redis, key, some, portion) if raw is not None}

    with ThreadPoolExecutor(1, "states") as ahead:  # Redis looks up the next series while the caller decodes these
        following = ahead.submit(read)
        for _ in range(0, len(fields), SERIES_AT_ONCE):
            states = following.result()
            following = ahead.submit(read)
            yield states


def _names(redis: Redis, key: str) -> Iterator[list[bytes]]:
    """Yield the field names of a hash, some at a time; a name may come twice."""
    script = redis.register_script(script_of("names"))
    portion = Portion(NAMES_AT_ONCE)
    cursor = b"0"

    def ask(count: int) -> tuple[bytes, list[bytes]]:
        with refusals_explained():
            return cast("tuple[bytes, list[bytes]]", script(keys=[key], args=[cursor, count]))

    while True:
        cursor, names = shrinking(redis, portion, ask)
        portion.went_well()
        yield names
        if cursor == b"0":
            return


def _check_names(names: Sequence[bytes], key: str) -> None:
    with suppress(UnicodeDecodeError):
        b"\n".join(names).decode()
        return
    for name in names:  # one of them is not UTF-8
        try:
            name.decode()
        except UnicodeDecodeError as exc:
            shown = name[:LONGEST_SHOWN]
            raise StateError(f"{key} has a field {shown!r}, which is not UTF-8: delete this field") from exc


def _values(redis: Redis, key: str, names: list[bytes], portion: Portion) -> Iterable[tuple[bytes, bytes | None]]:
    """Yield some fields of a hash with their values."""

    def ask(count: int) -> list[tuple[bytes, bytes | None]]:
        some = names[at : at + count]
        with refusals_explained():
            return list(zip(some, cast("list[bytes | None]", redis.hmget(key, some)), strict=True))

    at = 0
    while at < len(names):
        values = shrinking(redis, portion, ask)
        portion.went_well()
        at += len(values)
        yield from values
