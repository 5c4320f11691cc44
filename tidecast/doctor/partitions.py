"""Check the number of partitions, the routing of readings, and the repartition that is under way."""

from collections.abc import Iterator
from typing import Any, cast

from tidecast.connection.partitions import DELETE, decode_layout, whole_number
from tidecast.connection.repartitions import read_repartition
from tidecast.doctor.finding import Case, Finding
from tidecast.errors import SettingsError
from tidecast.wire import Keys, common_keys, id_pair, keys_of, layout_of

LONGEST_ROUTE_S = 10  # how old a reading may be that is not routed yet
LONGEST_MOVE_S = 30  # how long a repartition may take


def partitions(case: Case) -> Iterator[Finding]:
    """Check the number of partitions in Redis."""
    key, _ = common_keys(case.settings.namespace)
    if case.redis.type(key) != b"string":
        return  # no worker has started yet, or `key_types` reports the key
    try:
        layout = decode_layout(key, cast("bytes", case.redis.get(key)), case.settings.namespace)
    except SettingsError as exc:
        yield Finding("partitions", "error", str(exc).removesuffix(f": {DELETE}"), DELETE)
        return
    if case.set_partitions not in (layout.numbers[0], layout.partitions):
        problem = f"setting partitions is {case.set_partitions}, but {key} in Redis has {layout.partitions}"
        remedy = f"change it with `tidecast repartition --to {case.set_partitions}`, or correct the setting"
        yield Finding("partitions", "warning", problem, remedy)


def router(case: Case) -> Iterator[Finding]:
    """Check that readings that were pushed elsewhere than to their partition are routed."""
    layout = layout_of(case.settings)
    common = keys_of(namespace=layout.namespace)
    if layout.numbers[0] > 1 and case.redis.type(common.readings) == b"stream":
        waiting = case.redis.xlen(common.readings)
        if waiting and case.redis.exists(common.offset):
            problem = f"{waiting} readings in {common.readings} are not routed: a worker of one partition answered them"
            remedy = f"rename or delete {common.offset} and {common.readings}, then restart the workers"
            yield Finding("router", "warning", problem, remedy)
        elif waiting:
            yield from _unrouted(case, common, "-")
    for keys in layout.former():
        if case.redis.type(keys.readings) == b"stream":
            last = cast("bytes | None", case.redis.hget(keys.offset, "last")) or b"0-0"
            yield from _unrouted(case, keys, f"({last.decode()}")


def _unrouted(case: Case, keys: Keys, first: str) -> Iterator[Finding]:
    """Check that the oldest reading of a stream to be routed has not waited for long."""
    oldest = cast("list[tuple[bytes, Any]]", case.redis.xrange(keys.readings, first, count=1))
    if oldest and case.server_ms() - id_pair(oldest[0][0])[0] > 1000 * LONGEST_ROUTE_S:
        problem = f"readings in {keys.readings} wait to be routed to their partitions"
        yield Finding("router", "warning", problem, "see the log of the worker that holds partition 0")


def repartition(case: Case) -> Iterator[Finding]:
    """Check that a repartition does not stand still."""
    layout = layout_of(case.settings)
    closed = sum(bool(case.redis.hget(keys.offset, "closed")) for keys in layout.present())
    wanted = read_repartition(case.redis, layout.namespace)
    if wanted is None:
        if closed:
            problem = f"{closed} of {layout.partitions} partitions are closed, but no repartition is under way"
            yield Finding("repartition", "error", problem, "give the command `tidecast repartition --to N` again")
        return
    now_ms = case.server_ms()
    if now_ms - wanted.since_ms <= 1000 * LONGEST_MOVE_S or wanted.generation <= layout.generation:
        return
    waited_s = (now_ms - wanted.since_ms) / 1000
    problem = f"the repartition to {wanted.partitions} partitions has made no progress for {waited_s:.0f} s"
    problem += f"; {closed} of {layout.partitions} partitions are closed"
    roster = cast("dict[bytes, bytes]", case.redis.hgetall(common_keys(layout.namespace)[1]))
    alive = sorted(name for name, until in roster.items() if (whole_number(until) or 0) > now_ms)
    if alive:
        remedy = f"see the log of the worker {alive[0].decode(errors='backslashreplace')}; it tries again by itself"
    else:
        remedy = "start a worker: it goes on by itself"
    yield Finding("repartition", "error", problem, remedy)
