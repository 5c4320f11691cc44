"""Whether the server has the commands that a worker needs: a service may have disabled some, or lack them."""

from collections.abc import Iterator

from redis.exceptions import ResponseError

from tidecast.connection.redis_errors import COMMANDS, unknown_command
from tidecast.doctor.finding import Case, Finding
from tidecast.doctor.rights import PROBES, Probe, needed
from tidecast.wire import Keys, common_keys


def commands(case: Case) -> Iterator[Finding]:
    """Every command that a worker needs is there.

    Each is tried as its right is, by a form that changes nothing.
    """
    probes = [PROBES[right] for right in sorted(needed(case.settings))]
    missing = {name for probe in probes if (name := _missing(case, probe))}
    if missing:
        found = COMMANDS.problem.format(", ".join(sorted(missing)))
        yield Finding("commands", "wrong", found, COMMANDS.remedy)


def _missing(case: Case, probe: Probe) -> str | None:
    """Return the command of a probe if the server does not know it."""
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
