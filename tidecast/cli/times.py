"""Parse the times that options take."""

import re
import time

from tidecast.errors import SettingsError
from tidecast.moments import epoch_ms, moment_ms

LAST_SEQ = 2**64 - 1  # the highest sequence number of an entry id
OPTION = "--since"
_ENTRY_ID = re.compile(r"[0-9]{1,20}(?:-[0-9]{1,20})?")


def ago_ms(text: str, name: str = "time") -> int:
    """Parse a time in the past, see `moment_ms`; return epoch milliseconds.

    Raises:
        SettingsError: the text is not a time, or the time is in the future.
    """
    return moment_ms(text, _now_ms(), name)


def since_id(text: str) -> str:
    """Return the entry id after which to follow a stream; the text is a time or an entry id.

    Raises:
        SettingsError: the text is neither.
    """
    if text in ("$", "now"):
        return "$"
    if _ENTRY_ID.fullmatch(text):
        if text.isdecimal():
            epoch_ms(text, OPTION)
        return text
    try:
        ms = moment_ms(text, _now_ms(), OPTION)
    except SettingsError as exc:
        raise SettingsError(f"{exc}; or an entry id, 0 for the oldest, $ for the next") from exc
    return f"{ms - 1}-{LAST_SEQ}" if ms else "0"  # includes entries of that millisecond


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
