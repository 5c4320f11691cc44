"""Recorded readings that the tests of recorded data share."""

from typing import Any

from redis import Redis

from tidecast.files.history import History

TS = 1_700_000_000_000


def add(redis: Redis, *entries: dict[str, Any], commit: bool = True, key: str = "readings") -> list[bytes]:
    """Append readings, a second apart by their ids, and let them be committed."""
    first = TS + 1000 * redis.xlen(key)
    ids = [redis.xadd(key, fields, id=f"{first + 1000 * i}-0") for i, fields in enumerate(entries)]
    if commit:
        redis.hset(key.replace("readings", "offset"), "last", ids[-1])
    return ids


def reading(value: float | str, ts: int | None = None, series: str = "a", **more: float | str) -> dict[str, Any]:
    """Return the fields of a reading; its time is so many seconds after the first one's."""
    return {"series": series, **({} if ts is None else {"ts": TS + 1000 * ts}), "value": value, **more}


def plain(history: History) -> tuple[str, list[int], list[list[float]]]:
    """Return a history in plain types, its times in seconds after the first."""
    return history.series, ((history.ts - TS) // 1000).tolist(), history.values.tolist()
