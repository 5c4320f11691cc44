"""A start that cannot succeed: the log gives the reason, clearly and not every second."""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.servers.odd_servers import redis_with, saying, sentinel, without
from tests.worker.harness import elsewhere
from tidecast.connection.embedded import free_port
from tidecast.settings import Settings, load_settings
from worker.failures import redis_wait, step_failures
from worker.failures.log_limiter import LogLimiter
from worker.failures.redis_wait import once_redis_answers
from worker.main import make_worker
from worker.metrics import Health
from worker.stop import Stop

QUARTER_S = 900.0


class Quarter(Stop):
    """A stop that is set after a quarter of an hour; waiting takes no time, but moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def wait(self, seconds: float) -> bool:
        """Move the clock."""
        self.now += max(seconds, 0.001)
        if self.now > QUARTER_S:
            self.set()
        return self.is_set()


@pytest.fixture
def quarter(monkeypatch: pytest.MonkeyPatch) -> Quarter:
    """A quarter of an hour by whose clock repeated failures are logged."""
    made = Quarter()
    for module in (redis_wait, step_failures):
        monkeypatch.setattr(module, "LogLimiter", partial(LogLimiter, lambda: made.now))
    return made


def tries(settings: Settings, quarter: Quarter) -> list[dict[str, Any]]:
    """Return the log lines and the failure count of a worker that tries to start for a quarter of an hour."""
    health = Health()
    with capture_logs() as lines:
        if worker := once_redis_answers(lambda: make_worker(settings, health), health, quarter):
            worker.run(quarter)
    read = health.registry.get_sample_value
    assert sum(read("tidecast_failures_total", {"kind": kind}) or 0 for kind in ("redis", "refused")) > 150
    return [dict(line) for line in lines if line["log_level"] == "error"]


PLACES: dict[str, tuple[Callable[[str, Path], Any], str]] = {
    "nobody": (lambda *_: nullcontext(f"redis://127.0.0.1:{free_port()}/0"), "Connection refused"),
    "sentinel": (sentinel, "name it as redis+sentinel://host:port/name"),
    "web server": (lambda *_: saying(b"<html>\r\n"), "is not Redis"),
    "password": (lambda *_: saying(b"-NOAUTH Authentication required.\r\n"), "write it as redis://:password@host"),
    "replica": (lambda *_: saying(b"-READONLY You can't write against a read only replica.\r\n"), "point redis_url to"),
    "XGROUP": (lambda server, _: redis_with(server, *without("XGROUP")), "does not know XGROUP, which a worker"),
    "EVALSHA": (lambda server, _: redis_with(server, *without("EVALSHA")), "does not know EVALSHA, which a worker"),
    "TIME": (lambda server, _: redis_with(server, *without("TIME")), "rename-command in Redis' configuration"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_start_that_fails_again_and_again_is_logged_at_once_and_then_rarely(
    place: str, quarter: Quarter, redis_program: str, tmp_path: Path
) -> None:
    """Hundreds of tries in a quarter of an hour make a few lines; each names the problem and the remedy."""
    serve, words = PLACES[place]
    with serve(redis_program, tmp_path) as where:
        url = where if isinstance(where, str) else where[0]
        lines = tries(load_settings(redis_url=url, store=tmp_path / "models"), quarter)
    assert len(lines) <= 9
    assert all(words in line["error"] for line in lines)
    assert 1 == lines[0]["times"]
    assert lines[-1]["times"] > 20


def test_a_start_that_fails_shows_its_cause_at_readyz(settings: Settings, quarter: Quarter) -> None:
    """An operator who asks an orchestrator why the program is not ready gets the sentence of the log."""
    health = Health()
    away = elsewhere(settings, f"redis://127.0.0.1:{free_port()}/0")
    assert not once_redis_answers(lambda: make_worker(away, health), health, quarter)
    body = b"".join(health._answer({"PATH_INFO": "/readyz"}, lambda *_: None)).decode()
    assert body.startswith("503 Service Unavailable: no program listens")


def test_a_key_of_another_type_at_the_start_has_a_remedy(settings: Settings, redis: Redis, quarter: Quarter) -> None:
    """The words of Redis name neither the key nor what to do."""
    redis.rpush("partitions", "other")
    assert "rename or delete it" in tries(settings, quarter)[0]["error"]


def test_an_unknown_command_in_a_script_is_named(quarter: Quarter, redis_program: str, tmp_path: Path) -> None:
    """Redis itself names only the line and the script."""
    with redis_with(redis_program, *without("TIME")) as url:
        lines = tries(load_settings(redis_url=url, store=tmp_path / "models"), quarter)
    assert lines[0]["error"].endswith("(join.lua needs time)")
