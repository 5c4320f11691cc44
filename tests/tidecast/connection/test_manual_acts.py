"""What people do by hand is recorded: who, where and when."""

import getpass
import json
import socket

import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.harness.processes import run_command
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.wire import Event


def test_a_champion_chosen_by_hand_is_an_event_and_a_line_with_its_time(
    redis: Redis, settings: Settings, store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Redis the champion changes all the same, and the command prints that no event was written."""
    for seed in range(2):
        store.publish(make_model("a", seed=seed))
    where = ["--store", str(settings.store), "--redis"]
    assert 0 == run_command("models", "promote", "a", "1", *where, settings.redis_url.get_secret_value())
    assert 0 == run_command("models", "promote", "a", "2", *where, settings.redis_url.get_secret_value())
    assert 0 == run_command("models", "rollback", "a", *where, settings.redis_url.get_secret_value())
    events = [Event.decode(*entry) for entry in redis.xrange("events")]
    assert [("promoted", 1), ("promoted", 2), ("rolled_back", 1)] == [(event.kind, event.version) for event in events]
    assert {"user": getpass.getuser(), "host": socket.gethostname(), "program": "command"} == events[0].facts
    moves = [json.loads(line) for line in (store.root / "moves.log").read_text().splitlines()]
    assert [1, 2, 1, 2, 1] == [move["version"] for move in moves]
    times = [move["at_ms"] for move in moves]
    assert times == sorted(times)
    assert abs(times[-1] - int(events[-1].id.partition("-")[0])) < 60_000
    capsys.readouterr()
    assert 0 == run_command("models", "promote", "a", "2", *where, "redis://127.0.0.1:1")
    assert "note: no event was written" in capsys.readouterr().err
    assert 2 == store.champion("a")
