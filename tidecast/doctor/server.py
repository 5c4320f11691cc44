"""The server itself: its version, what survives a restart, its memory, its role and its clock."""

from collections.abc import Iterator

from redis.exceptions import ResponseError

from tidecast.connection import lacks_right
from tidecast.doctor.finding import Case, Finding

OLDEST = (6, 2)
NEARLY_FULL = 0.9  # of maxmemory
SKEW_S = (2.0, 60.0)  # a warning, and wrong


def version(case: Case) -> Iterator[Finding]:
    """Redis is one that the scripts run on."""
    found = str(case.server.info("server")["redis_version"])
    if tuple(int(part) for part in found.split(".")[:2]) < OLDEST:
        wanted = ".".join(map(str, OLDEST))
        yield Finding(
            "version", "wrong", f"Redis is {found}", f"upgrade it to {wanted} or later; 7 counts lost readings"
        )


def persistence(case: Case) -> Iterator[Finding]:
    """What was committed survives a restart of Redis, and can be saved now."""
    info = case.server.info("persistence")
    if info.get("loading"):
        yield Finding(
            "loading", "wrong", "Redis is still loading its data", "wait; INFO persistence says how far it is"
        )
    if not info.get("aof_enabled") and not _saves(case):
        found = "Redis keeps neither an append-only file nor snapshots: a restart loses readings, windows and offsets"
        yield Finding("persistence", "warning", found, "set `appendonly yes` in its configuration")
    for name, kind in (
        ("rdb_last_bgsave_status", "snapshot"),
        ("aof_last_write_status", "write to its append-only file"),
    ):
        if info.get(name, "ok") != "ok":
            found = f"Redis' last {kind} failed, and it may refuse to write"
            yield Finding(
                "disk", "wrong", found, "free its disk, or grant it the right to write there; its log says more"
            )


def _saves(case: Case) -> bool:
    """Whether snapshots are made; a service that hides CONFIG is believed to keep data by ways of its own."""
    return bool(_configured(case, "save", "hidden"))


def _configured(case: Case, name: str, hidden: str) -> str:
    """Return a value of Redis' configuration, or `hidden` where the server does not show it to anybody."""
    try:
        return str(case.server.config_get(name).get(name, hidden))
    except ResponseError as exc:
        if lacks_right(exc):
            raise
        return hidden


def memory(case: Case) -> Iterator[Finding]:
    """Redis throws nothing away, and has room."""
    info = case.server.info("memory")
    most, used, policy = int(info["maxmemory"]), int(info["used_memory"]), str(info["maxmemory_policy"])
    if not most:
        return
    if policy.startswith("allkeys"):  # the others evict only what has a time to live, as none of our keys has
        found = f"maxmemory-policy is {policy}: Redis may throw away readings and windows, and tells nobody"
        yield Finding("eviction", "wrong", found, "set `maxmemory-policy noeviction`")
    if used >= NEARLY_FULL * most:
        found = f"Redis uses {used / 2**20:.0f} MB of its maxmemory of {most / 2**20:.0f} MB"
        remedy = "raise maxmemory, or keep less: worker.forecasts_kept, worker.retention_s, `tidecast archive`"
        yield Finding("memory", "wrong" if used >= most else "warning", found, remedy)


def role(case: Case) -> Iterator[Finding]:
    """Redis takes writes."""
    info = case.server.info("replication")
    if info["role"] != "master":
        master = f"{info.get('master_host')}:{info.get('master_port')}"
        found = f"this Redis is a replica of {master} and takes no writes"
        yield Finding("replica", "wrong", found, f"point redis_url to the master, {master}")
        return
    wanted = int(_configured(case, "min-replicas-to-write", "0") or 0)
    if (good := int(info.get("min_slaves_good_slaves", wanted))) < wanted:
        found = f"{good} replicas are connected, min-replicas-to-write is {wanted}: Redis refuses to write"
        yield Finding("replicas", "wrong", found, "bring the replicas back, or lower min-replicas-to-write")


def clock(case: Case) -> Iterator[Finding]:
    """The clocks agree: Redis' gives readings their time, and that of the workers judges it."""
    skew_s = case.clock() - case.server_ms() / 1000
    warning_s, wrong_s = SKEW_S
    if abs(skew_s) > warning_s:
        found = f"the clock here is {abs(skew_s):.0f} s {'ahead of' if skew_s > 0 else 'behind'} Redis'"
        remedy = "let NTP set the clocks of both machines"
        yield Finding("clock", "wrong" if abs(skew_s) > wrong_s else "warning", found, remedy)
