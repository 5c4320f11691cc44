"""`tidecast notify` as a process, with no more rights than the documents grant."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.harness.events import happen
from tests.harness.nursery import Forked
from tests.harness.patience import PATIENCE_S, until
from tests.worker.harness import Impatient
from tests.worker.notify.harness import HANG, TTL_S, Inbox
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.connection.partitions import at_present
from tidecast.connection.records.notify_record import AFTER, read_record
from tidecast.settings import NotifySettings, Settings
from tidecast.wire import Event
from worker.failures.backoff import Backoff
from worker.metrics import Health
from worker.notify.main import _serve
from worker.notify.notifier import Notifier
from worker.notify.receiver import Receiver
from worker.notify.right import NotifyRight

ROOT = Path(__file__).parents[3]
NAMESPACE = "plant"


@pytest.fixture
def limited(settings: Settings, redis: Redis) -> Iterator[str]:
    """The address with a user who has the documented rights."""
    line = re.search(r"^ACL SETUSER tidecast-notifier (.+)$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert line
    redis.execute_command("ACL", "SETUSER", "tidecast-notifier", *line[1].split())
    yield settings.redis_url.get_secret_value().replace("redis://", "redis://tidecast-notifier:notifier-password@")
    redis.acl_deluser("tidecast-notifier")


def notifying(url: str, inbox: Inbox, folder: Path, **more: str) -> Forked:
    """Start the command with secrets in all places."""
    notify = {"URL": f"http://me:hunter2@{inbox.address}/hunter2", "GROUP_WAIT": "0", "TIMEOUT": "1", "RATE": "6000"}
    notify |= more
    variables = {f"TIDECAST_NOTIFY__{name}": value for name, value in notify.items()}
    environment = os.environ | variables | {"TIDECAST_REDIS_URL": url, "TIDECAST_NAMESPACE": NAMESPACE}
    return Forked("tidecast.cli.main", ["tidecast", "notify", "--health-port", "0"], folder, environment)


def test_it_posts_until_it_is_stopped_and_shows_no_secret(redis: Redis, limited: str, tmp_path: Path) -> None:
    """It gives the right back at the end, so that another process can go on at once."""
    with Inbox() as inbox, notifying(limited, inbox, tmp_path) as process:
        until(lambda: redis.hget(f"{NAMESPACE}:notify", f"after:{NAMESPACE}:events"))
        inbox.answers.append(401)
        for number in range(3):
            flat = happen(redis, Event("stuck", str(number), "a")).encode()
            redis.xadd(f"{NAMESPACE}:events", dict(zip(flat[::2], flat[1::2], strict=True)))  # type: ignore[arg-type] # or bytes
        until(lambda: inbox.details() == ["0", "1", "2"])
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(PATIENCE_S)
    lines = [json.loads(line) for line in log.splitlines()]
    assert 0 == process.returncode
    assert ["health served", "notifying", "notification not delivered"] == [line["event"] for line in lines[:3]]
    assert "notifier stopped" == lines[-1]["event"]
    assert "notifier-password" not in log
    assert "hunter2" not in log
    assert redis.hget(f"{NAMESPACE}:notify", "owner") is None


def test_it_waits_for_a_redis_that_is_away_and_goes_on_when_it_is_back(redis_program: str, tmp_path: Path) -> None:
    """The position is in Redis, so no event is lost over a restart; one may come again."""
    kept = ("--appendonly", "yes", "--appendfsync", "always")
    with EmbeddedRedis(redis_program, kept) as server, Inbox() as inbox:
        server.kill()
        with notifying(server.url, inbox, tmp_path) as process:
            assert process.stderr
            assert '"step failed"' in "".join(process.stderr.readline() for _ in range(2))
            for number in range(2):
                server.start()
                with Redis.from_url(server.url, protocol=2) as redis:
                    until(lambda: redis.hget(f"{NAMESPACE}:notify", f"{AFTER}{NAMESPACE}:events"))
                    redis.xadd(f"{NAMESPACE}:events", {"kind": "stuck", "detail": str(number)})
                if not number:
                    server.kill()
            until(lambda: list(dict.fromkeys(inbox.details())) == ["0", "1"])
            process.send_signal(signal.SIGTERM)
            process.communicate(PATIENCE_S)
    assert 0 == process.returncode


def test_a_signal_ends_it_while_the_receiver_hangs(redis: Redis, limited: str, tmp_path: Path) -> None:
    """It does not wait for the answer, so that the next process can take over at once and post the message again."""
    with Inbox() as inbox, notifying(limited, inbox, tmp_path, TIMEOUT="300") as process:
        until(lambda: redis.hget(f"{NAMESPACE}:notify", f"after:{NAMESPACE}:events"))
        inbox.answers.append(HANG)
        redis.xadd(f"{NAMESPACE}:events", {"kind": "stuck", "detail": "0", "series": "a"})
        until(lambda: inbox.heads)
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(PATIENCE_S)
    assert 0 == process.returncode
    assert "not delivered" not in log
    record = read_record(redis, NAMESPACE)
    assert record
    assert ("", 0) == (record.owner, record.failing_since_ms)


def test_it_is_not_ready_while_redis_is_away() -> None:
    """`/readyz` names the cause; the process goes on by itself."""
    health = Health()
    health.show_ready(ready=True)

    def away() -> Notifier:
        raise RedisConnectionError("nobody is there")

    _serve(away, Backoff(1.0), health, Impatient(2))
    body = b"".join(health._answer({"PATH_INFO": "/readyz"}, lambda *_: None)).decode()
    assert "503 Service Unavailable: ConnectionError: nobody is there\n" == body


def test_a_number_of_partitions_that_is_none_does_not_end_it(redis: Redis, settings: Settings) -> None:
    """As a worker, it waits until somebody puts it right; at its start it ends with a sentence."""
    health = Health()
    with Inbox() as inbox:
        chosen = settings.model_copy(update={"notify": NotifySettings(url=f"http://{inbox.address}/")})

        def present() -> Settings:
            return at_present(redis, chosen)

        right = NotifyRight(redis, present, "me", TTL_S)
        notifier = Notifier(redis, present, right, Receiver(chosen.notify), health.notify)
        redis.set("partitions", "other")
        _serve(lambda: notifier, Backoff(1.0), health, Impatient(2))
        assert "'other', not a number" in health._failing
        redis.set("partitions", "1")
        _serve(lambda: notifier, Backoff(1.0), health, Impatient(2))
    assert health.ready.is_set()
