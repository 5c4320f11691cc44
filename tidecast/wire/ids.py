"""The ids of entries, and the error that names an entry of another program by its id."""

import re

from tidecast.errors import StreamError

_ENTRY_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")


def is_entry_id(text: bytes | str) -> bool:
    """Return whether a text is a complete entry id, as Redis writes it."""
    match = _ENTRY_ID.fullmatch(text.decode(errors="replace") if isinstance(text, bytes) else text)
    return match is not None and max(map(int, match.groups())) < 2**64


def id_pair(entry_id: bytes | str) -> tuple[int, int]:
    """Return an entry's id as two numbers, which compare as ids do."""
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    ms, _, number = text.partition("-")
    return int(ms), int(number or 0)


def foreign_entry(entry_id: bytes | str, noun: str, exc: KeyError | ValueError) -> StreamError:
    """Return the error for an entry that is not what its stream holds.

    Args:
        entry_id: its id.
        noun: what the stream holds, such as `an event`.
        exc: the error of decoding it.
    """
    its_id = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    reason = str(exc)
    if isinstance(exc, KeyError):
        name = exc.args[0]
        reason = f"no field {name.decode() if isinstance(name, bytes) else name}"
    return StreamError(
        f"entry {its_id} is not {noun} ({reason}): another program wrote it; delete it with XDEL, or begin after it"
    )
