"""What a worker's user on Redis may not do, as a sentence that names it."""

import re
from hashlib import sha1

from redis.exceptions import RedisError

from tidecast import connection
from worker.scripts import script_of

SCRIPTS = ("acquire", "attempt", "beat", "claim", "commit", "hold", "join", "plan", "retain", "settle")
_PLACE = re.compile(r"([0-9a-f]{40}).*?@user_script: ?(\d+)")
_CALL = re.compile(r"redis\.p?call\('(\w+)'(?:, '([A-Z]+)')?")


def explain(exc: RedisError) -> str:
    """An error of Redis as a sentence with its remedy; where a script lacks a right, the script's command is named."""
    sentence = connection.explain(exc)
    if not connection.lacks_right(exc) or not (place := _PLACE.search(str(exc))):
        return sentence
    for name in SCRIPTS:
        script = script_of(name)
        if sha1(script.encode()).hexdigest() == place[1]:  # noqa: S324 - as Redis names scripts
            call = _CALL.search(script.splitlines()[int(place[2]) - 1])
            right = "|".join(word.lower() for word in call.groups() if word) if call else "a command"
            return f"{sentence} ({name}.lua needs +{right})"
    return sentence
