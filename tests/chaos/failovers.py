"""`python -m tests.chaos.failovers`: a real Sentinel promotes the replica of a killed master, again and again.

It runs twice: without confirmations, and with a producer and a worker that wait for the replica.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from redis import Redis
from redis.exceptions import RedisError

from tests.chaos.accidents.follower import Follower, published
from tests.chaos.accidents.readings import make_steady
from tests.chaos.accidents.verdict import Verdict, judge
from tests.chaos.harness import entry_id, finish, make_store, start_worker
from tests.chaos.producer import Producer
from tests.harness.patience import until
from tests.harness.servers.sentinels import WatchedPair, watched_pair
from tidecast.connection import connect
from tidecast.connection.embedded import find_server
from tidecast.settings import load_settings

RATE = 300  # readings a second
LOAD_S = 0.5  # of readings before a failover
LONGEST_S = 15  # that one failover takes, with the return of the killed server
WORKERS = 2
SETTINGS = """
redis_timeout = 1.0
[worker]
lease = 1.0
batch = 50
block = "20ms"
"""


@dataclass(frozen=True, slots=True)
class FailoverReport:
    """How a run went.

    Attributes:
        failovers: how many there were.
        longest_s: the longest time from the death of a master to the first commit on the other server.
        verdict: what its readings came to.
    """

    failovers: int
    longest_s: float
    verdict: Verdict

    def figures(self) -> dict[str, float]:
        """Return the figures to print."""
        verdict = self.verdict
        return {
            "failovers": self.failovers,
            "longest_s": round(self.longest_s, 2),
            "readings": verdict.readings,
            "lost": verdict.lost,
            "gone": verdict.gone,
            "violations": verdict.violations(),
        }


def failover_run(folder: Path, failovers: int, *, confirmed: bool, server: str | None = None) -> FailoverReport:
    """Kill the master again and again, and judge what a consumer sees.

    Args:
        folder: an empty one.
        failovers: how many.
        confirmed: whether producer and workers wait until the replica has what they wrote.
        server: the redis-server program; by default what is found.
    """
    entries = make_steady(failovers * LONGEST_S * RATE)
    make_store(folder, SETTINGS + f"wait_replicas = {int(confirmed)}\n" * confirmed)
    with watched_pair(server or find_server(), folder) as pair:
        workers = [start_worker(folder, pair.url) for _ in range(WORKERS)]
        producer = Producer(pair.url, entries, RATE, replicas=int(confirmed))
        try:
            with Follower(pair.url) as follower, connect(load_settings(redis_url=pair.url)) as redis:
                until(lambda: redis.exists("lease"))
                producer.start()
                longest_s = 0.0
                for _ in range(failovers):
                    time.sleep(LOAD_S)
                    longest_s = max(longest_s, _fail_over(pair, redis, confirmed=confirmed))
                after = producer.begun
                time.sleep(LOAD_S)
                producer.stop()
                until(lambda: redis.hget("offset", "last") == entry_id(producer.pushed - 1).encode())
                follower.catch_up(redis)
                verdict = Verdict(producer.pushed, restarted=sum(worker.poll() is not None for worker in workers))
                judge(verdict, entries, after, follower.met, published(redis), loses=not confirmed)
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                finish(worker)
    return FailoverReport(failovers, longest_s, verdict)


def _fail_over(pair: WatchedPair, redis: Redis, *, confirmed: bool) -> float:
    """Let the replica take over, and the killed server come back; return after how many seconds a commit was made."""
    began = time.monotonic()
    before = _last(redis)
    dead = pair.fail_over()
    if confirmed:  # the worker waits for it
        pair.rejoin(dead)
    until(lambda: _last(redis) not in (before, b""))
    took_s = time.monotonic() - began
    if not confirmed:
        pair.rejoin(dead)
    return took_s


def _last(redis: Redis) -> bytes:
    """Return the offset; nothing while no master is known."""
    try:
        last = redis.hget("offset", "last")
    except RedisError:
        return b""
    return last if isinstance(last, bytes) else b""


def main() -> int:
    """Run both, print the figures, and exit 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.failovers", description=__doc__)
    parser.add_argument("--failovers", type=int, default=50, help="of each run")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    reports = {}
    for name, confirmed in (("unconfirmed", False), ("confirmed", True)):
        with tempfile.TemporaryDirectory() as folder:
            reports[name] = failover_run(Path(folder), options.failovers, confirmed=confirmed)
        print(name, " ".join(f"{figure} {value:g}" for figure, value in reports[name].figures().items()), flush=True)
        print("\n".join(reports[name].verdict.notes[:10]), file=sys.stderr)
    if options.json:
        named = [(f"{name}_{figure}", value) for name in reports for figure, value in reports[name].figures().items()]
        print(json.dumps({"figures": dict(named)}))
    return int(any(report.verdict.violations() for report in reports.values()))


if __name__ == "__main__":
    sys.exit(main())
