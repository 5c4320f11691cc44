"""Check the Redis server: its version, persistence, memory, role and clock."""

from collections.abc import Iterator

from redis.exceptions import ResponseError

from tidecast.connection import lacks_right
from tidecast.doctor.finding import Case, Finding

OLDEST = (6, 2)
NEARLY_FULL = 0.9  # share of maxmemory
SKEW_S = (2.0, 60.0)  # clock difference for severity `warning` and `error`


def version(case: Case) -> Iterator[Finding]:
    """Check that the scripts run on this version of Redis."""
    running = str(case.server.info("server")["redis_version"])
    if tuple(int(part) for part in running.split(".")[:2]) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield Finding(
            "version", "error", f"Redis is {running}", f"upgrade it to {oldest} or later; 7 counts lost readings"
        )


def persistence(case: Case) -> Iterator[Finding]:
    """Check that Redis saves its data, so that commits survive a restart."""
    info = case.server.info("persistence")
    if info.get("loading"):
        yield Finding(
            "loading", "error", "Redis is still loading its data", "wait; INFO persistence shows the progress"
        )
    if not info.get("aof_enabled") and not _saves(case):
        problem = "Redis keeps neither an append-only file nor snapshots: a restart loses readings, windows and offsets"
        yield Finding("persistence", "warning", problem, "set `appendonly yes` in its configuration")
    for name, kind in (
        ("rdb_last_bgsave_status", "snapshot"),
        ("aof_last_write_status", "write to its append-only file"),
    ):
        if info.get(name, "ok") != "ok":
            problem = f"Redis' last {kind} failed, and it may refuse to write"
            yield Finding(
                "disk", "error", problem, "free its disk, or grant it the right to write there; its log has the cause"
            )


def _saves(case: Case) -> bool:
    """Return whether snapshots are made; a service that hides CONFIG is assumed to save data in its own way."""
    return bool(_configured(case, "save", "hidden"))


def _configured(case: Case, name: str, hidden: str) -> str:
    """Return a value of Redis' configuration, or `hidden` if the server hides it from all users."""
    try:
        return str(case.server.config_get(name).get(name, hidden))
    except ResponseError as exc:
        if lacks_right(exc):
            raise
        return hidden


def memory(case: Case) -> Iterator[Finding]:
    """Check that Redis does not evict keys, and has free memory."""
    info = case.server.info("memory")
    most = int(info["maxmemory"])
    used = int(info["used_memory"])
    policy = str(info["maxmemory_policy"])
    if not most:
        return
    if policy.startswith("allkeys"):  # other policies evict only keys with a time to live, which ours do not have
        problem = f"maxmemory-policy is {policy}: Redis may evict readings and windows without notice"
        yield Finding("eviction", "error", problem, "set `maxmemory-policy noeviction`")
    if used >= NEARLY_FULL * most:
        problem = f"Redis uses {used / 2**20:.0f} MB of its maxmemory of {most / 2**20:.0f} MB"
        remedy = "raise maxmemory, or keep less: worker.forecasts_kept, worker.retention, `tidecast archive`"
        yield Finding("memory", "error" if used >= most else "warning", problem, remedy)


def role(case: Case) -> Iterator[Finding]:
    """Check that Redis accepts writes."""
    info = case.server.info("replication")
    if info["role"] != "master":
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        problem = f"this Redis is a replica of {master} and takes no writes"
        yield Finding("replica", "error", problem, f"point redis_url to the master, {master}")
        return
    required = int(_configured(case, "min-replicas-to-write", "0") or 0)
    if (good := int(info.get("min_slaves_good_slaves", required))) < required:
        problem = f"{good} replicas are connected, min-replicas-to-write is {required}: Redis refuses to write"
        yield Finding("replicas", "error", problem, "bring the replicas back, or lower min-replicas-to-write")


def clock(case: Case) -> Iterator[Finding]:
    """Check that the clocks agree: Redis' clock stamps readings, and the workers' clock validates these times."""
    skew_s = case.clock() - case.server_ms() / 1000
    warning_s, wrong_s = SKEW_S
    if abs(skew_s) > warning_s:
        problem = f"the clock here is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} Redis'"
        remedy = "let NTP set the clocks of both machines"
        yield Finding("clock", "error" if abs(skew_s) > wrong_s else "warning", problem, remedy)
