"""Check that the server has the commands that a worker needs; some services disable commands or lack them."""

from collections.abc import Iterator

from redis.exceptions import ResponseError

from tidecast.connection.redis_errors import COMMANDS, unknown_command
from tidecast.doctor.finding import Case, Finding
from tidecast.doctor.rights import PROBES, Probe, needed
from tidecast.wire import Keys, common_keys


def commands(case: Case) -> Iterator[Finding]:
    """Check that every command that a worker needs exists.

    Each command is called in a form that changes nothing, as in the check of rights.
    """
    probes = [PROBES[right] for right in sorted(needed(case.settings))]
    missing = {name for probe in probes if (name := _missing(case, probe))}
    if missing:
        problem = COMMANDS.problem.format(", ".join(sorted(missing)))
        yield Finding("commands", "error", problem, COMMANDS.remedy)


def _missing(case: Case, probe: Probe) -> str | None:
    """Return the command of a probe if the server does not support it."""
    keys = next(case.partitions())
    places = {name: getattr(keys, name) for name in Keys.__slots__}
    places["partitions"] = common_keys(case.settings.namespace)[0]
    words = [places.get(str(word), word) for word in probe]
    server = case.redis if len(words) > 1 and words[0] != "SCRIPT LOAD" else case.server
    try:
        server.execute_command(*words)
    except ResponseError as exc:
        return unknown_command(exc)
    return None
