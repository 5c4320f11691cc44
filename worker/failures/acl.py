"""Explain Redis permission errors, and name the command that was refused."""

import re
from hashlib import sha1

from redis.exceptions import RedisError

from tidecast import connection
from worker.scripts import script_of

SCRIPTS = (
    *("acquire", "adopt", "attempt", "beat", "change", "claim", "clock", "close", "commit", "extent", "hold", "join"),
    *("known", "layout", "mark", "names", "notify", "peek", "plan", "prepare", "purge", "retain", "route", "settle"),
)
_PLACE = re.compile(r"([0-9a-f]{40}).*?@user_script: ?(\d+)")
_UNKNOWN = "Unknown Redis command"  # the error of a script that calls a command that the server does not support
_CALL = re.compile(r"redis\.p?call\('(\w+)'(?:, '([A-Z]+)')?")


def explain(exc: RedisError) -> str:
    """Return a Redis error as a sentence with its remedy.

    If a script lacks a right, or calls a command that the server does not support, the sentence names that command.
    """
    sentence = connection.explain(exc)
    refused = connection.lacks_right(exc) or _UNKNOWN in str(exc)
    if not refused or not (place := _PLACE.search(str(exc))):
        return sentence
    for name in SCRIPTS:
        script = script_of(name)
        if sha1(script.encode()).hexdigest() == place[1]:  # noqa: S324 - as Redis names scripts
            call = _CALL.search(script.splitlines()[int(place[2]) - 1])
            right = "|".join(word.lower() for word in call.groups() if word) if call else "a command"
            return f"{sentence} ({name}.lua needs {'' if _UNKNOWN in str(exc) else '+'}{right})"
    return sentence
