"""Record what people do by hand: events with the user and the host."""

import getpass
import socket
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from tidecast.connection.connection import connect, explain
from tidecast.connection.partitions import at_present
from tidecast.errors import SettingsError
from tidecast.settings import Settings
from tidecast.wire import Event, layout_of


def user_and_host() -> dict[str, str]:
    """Return the user and the host of this program, as facts of an event."""
    user = ""
    with suppress(KeyError, OSError, ImportError):  # a container's user may have no name
        user = getpass.getuser()
    return {"user": user, "host": socket.gethostname()}


def record_promotion(settings: Settings, series: str, version: int, *, back: bool, program: str) -> str | None:
    """Write the event of a champion that was chosen by hand; return why it could not be written, None if it was.

    Args:
        settings: of the installation.
        series: the series.
        version: its champion now.
        back: whether it is the previous champion, after a rollback.
        program: `command` or `dashboard`.
    """
    kind = "rolled_back" if back else "promoted"
    facts = {**user_and_host(), "program": program}
    detail = f"by hand: {facts['user'] or 'a user'} on {facts['host']}"
    flat: list[Any] = Event(kind, detail, series, version, facts=facts).encode()
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    try:
        with connect(settings) as redis:
            keys = layout_of(at_present(redis, settings)).keys_for(series)
            redis.xadd(keys.events, fields, maxlen=settings.worker.events_kept, approximate=False)
    except (RedisError, SettingsError) as exc:
        return explain(exc) if isinstance(exc, RedisError) else str(exc)
    return None
