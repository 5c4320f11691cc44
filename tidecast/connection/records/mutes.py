"""Muted series, about which nobody wants to be notified: by hand, until a time or until they are unmuted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self, cast

from redis import Redis

from tidecast.moments import utc_text
from tidecast.wire import Event, Keys

MOST_USER = 100  # characters of the name of a user


@dataclass(frozen=True, slots=True)
class Mute:
    """A mute of one series.

    Attributes:
        since_ms: when it was muted, epoch milliseconds.
        until_ms: when the mute ends, epoch milliseconds; None: it lasts until the series is unmuted.
        user: the user who muted it, as far as known.
    """

    since_ms: int
    until_ms: int | None
    user: str

    def encode(self) -> str:
        """Return the value in the hash `muted`."""
        return json.dumps({"since": self.since_ms, "until": self.until_ms, "user": self.user})

    @classmethod
    def decode(cls, raw: bytes) -> Self:
        """Read a value of the hash; one that cannot be read mutes until the series is unmuted."""
        try:
            value = json.loads(raw)
            until = value["until"]
            return cls(int(value["since"]), None if until is None else int(until), str(value["user"]))
        except (ValueError, TypeError, KeyError):
            return cls(0, None, "")

    def holds(self, now_ms: float) -> bool:
        """Return whether the series is still muted."""
        return self.until_ms is None or now_ms < self.until_ms


def read_mutes(redis: Redis, keys: Keys, now_ms: float) -> dict[str, Mute]:
    """Return the series of a partition that are muted now."""
    stored = cast("Mapping[bytes, bytes]", redis.hgetall(keys.muted))
    mutes = {name.decode(errors="backslashreplace"): Mute.decode(raw) for name, raw in stored.items()}
    return {series: mute for series, mute in mutes.items() if mute.holds(now_ms)}


def mute_series(redis: Redis, keys: Keys, series: str, mute: Mute) -> None:
    """Mute a series and write the event `muted`, together."""
    until = "until it is unmuted" if mute.until_ms is None else f"until {utc_text(mute.until_ms)}"
    event = Event("muted", f"no notification {until}", series)
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.hset(keys.muted, series, mute.encode())
        pipeline.xadd(keys.events, _fields(event, mute.user))
        pipeline.execute()


def unmute_series(redis: Redis, keys: Keys, series: str, user: str) -> None:
    """End the mute of a series and write the event `unmuted`, together."""
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.hdel(keys.muted, series)
        pipeline.xadd(keys.events, _fields(Event("unmuted", "notifications are sent again", series), user))
        pipeline.execute()


def _fields(event: Event, user: str) -> dict[Any, Any]:
    flat = [*event.encode(), "user", user[:MOST_USER], "program", "dashboard"]
    return dict(zip(flat[::2], flat[1::2], strict=True))
