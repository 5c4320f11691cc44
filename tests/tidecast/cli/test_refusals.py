"""Commands while Redis refuses to execute them: the sentence has the reason and the remedy."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from redis import Redis

from tests.chaos.faults.refusals import no_replicas, out_of_memory
from tests.harness.processes import run_command
from tidecast.connection.embedded import EmbeddedRedis

REFUSALS = [(out_of_memory, "Redis is at its maxmemory: raise it"), (no_replicas, "too few replicas are connected")]


@pytest.mark.parametrize(("moment", "reason"), REFUSALS, ids=["OOM", "NOREPLICAS"])
def test_a_command_that_redis_refuses_names_the_remedy(
    redis_program: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    moment: Callable[[Redis], AbstractContextManager[None]],
    reason: str,
) -> None:
    """Redis runs: the advice to start it would mislead."""
    file = tmp_path / "history.csv"
    file.write_text("series,ts,value\na,2026-03-01T00:00Z,1\n")
    with EmbeddedRedis(redis_program) as server, Redis.from_url(server.url, protocol=2) as redis:
        redis.set("ballast", bytes(2**21))
        with moment(redis):
            assert 1 == run_command("push", str(file), "--redis", server.url)
    sentence = capsys.readouterr().err
    assert sentence.startswith(f"tidecast: Redis: {reason}")
    assert "start it" not in sentence


def test_an_unforeseen_refusal_leads_to_the_doctor(redis_program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Such as a key of another program."""
    with EmbeddedRedis(redis_program) as server, Redis.from_url(server.url, protocol=2) as redis:
        redis.set("forecasts", "text")
        assert 1 == run_command("tail", "--since", "0", "--redis", server.url)
    assert "WRONGTYPE" in (sentence := capsys.readouterr().err)
    assert sentence.endswith("value: run `tidecast doctor` to find the cause\n")
