"""`tidecast retrain`: jobs by hand and on schedule."""

import json
import subprocess

import pytest
from redis import Redis

from tests.harness.patience import PATIENCE_S, until
from tests.harness.processes import TIDECAST, run_command
from tests.worker.retraining.harness import FINISH, record, stand_in
from tidecast.connection.embedded import free_port
from tidecast.tools.readiness import await_ready
from tidecast.wire import keys_of, partition_of
from worker.retraining import child


def stand_for_the_trainer(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let a few lines stand in for the trainer, which takes seconds to start."""
    monkeypatch.setattr(child.run, "__kwdefaults__", {**(child.run.__kwdefaults__ or {}), "command": stand_in(program)})


@pytest.mark.usefixtures("url")
def test_by_hand_every_partition_is_trained_once_and_the_sum_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The child finds out which series are due."""
    monkeypatch.setenv("TIDECAST_PARTITIONS", "2")
    stand_for_the_trainer(monkeypatch, f"assert not told['force'] and told['series'] == []\n{FINISH}")
    assert 0 == run_command("retrain")
    assert "6 series trained, 2 kept their model, 0 refused, 4 put off, in 3.0 s\n" == capsys.readouterr().out
    assert 0 == run_command("retrain", "--json")
    expected = {"trained": 6, "kept": 2, "refused": 0, "put_off": 4, "seconds": 3.0, "failures": []}
    assert expected == json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("url")
def test_named_series_are_trained_due_or_not_and_no_other_partition(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis: Redis
) -> None:
    """Each in the partition that it belongs to, once, with the seed."""
    monkeypatch.setenv("TIDECAST_PARTITIONS", "8")
    its = partition_of("a", 8)
    other = next(f"s{n}" for n in range(99) if partition_of(f"s{n}", 8) != its)
    expected = {its: ["a"], partition_of(other, 8): [other]}
    stand_for_the_trainer(
        monkeypatch,
        f"assert told['force'] and told['series'] == {expected!r}[told['partition']]\n"
        f"assert told['settings']['train']['seed'] == 7\n{FINISH}",
    )
    for partition, (name,) in expected.items():
        redis.hset(keys_of(partition, 8).state, name, "state")
    assert 0 == run_command("retrain", "a", other, "a", "--seed", "7")
    assert capsys.readouterr().out.startswith("6 series trained")


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(
    ("words", "remedy"), [(["boiler7"], "did you mean 'boiler-7'?"), (["boiler-7", "x"], "use one of 'boiler-7'")]
)
def test_a_series_that_no_worker_has_met_is_one_sentence_before_the_training(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis: Redis, words: list[str], remedy: str
) -> None:
    """A mistyped name would end with no series trained, as if none were due."""
    stand_for_the_trainer(monkeypatch, "assert False, 'the training has begun'")
    redis.hset(keys_of().state, mapping={"boiler-7": "state", "boiler-7\x1f0": "block"})
    assert 1 == run_command("retrain", *words)
    error = capsys.readouterr().err
    assert f"tidecast: no worker has answered a reading of series {words[-1]!r}: {remedy}\n" == error


@pytest.mark.usefixtures("url")
def test_a_failed_run_by_hand_is_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other partitions are trained all the same."""
    monkeypatch.setenv("TIDECAST_PARTITIONS", "2")
    stand_for_the_trainer(monkeypatch, f"told['partition'] or sys.exit(3)\n{FINISH}")
    assert 1 == run_command("retrain")
    printed = capsys.readouterr()
    assert printed.out.startswith("3 series trained")
    assert "tidecast: retraining failed, partition 0: it ended with exit code 3: its log has the cause\n" in printed.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("retrain", "--daemon"), 'there is no schedule to run: retrain.every is "never"; set it to a duration'),
        (("retrain", "--health-port", "0"), "--health-port works only with --daemon"),
        (("retrain", "--daemon", "a"), "leave the series and --json out"),
        (("retrain", "--daemon", "--json"), "leave the series and --json out"),
    ],
    ids=str,
)
@pytest.mark.usefixtures("url")
def test_a_daemon_needs_a_schedule_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
) -> None:
    """Exit code 2 and a sentence."""
    monkeypatch.setenv("TIDECAST_RETRAIN__EVERY", "never")
    assert 2 == run_command(*words)
    assert sentence in capsys.readouterr().err


def test_a_daemon_keeps_the_schedule_until_told_to_stop(
    url: str, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all partitions; an invalid number of them is refused."""
    monkeypatch.setenv("TIDECAST_PARTITIONS", "2")
    monkeypatch.setenv("TIDECAST_RETRAIN__EVERY", "6h")
    assert url
    redis.set("partitions", 2)
    with subprocess.Popen([TIDECAST, "retrain", "--daemon"], stderr=subprocess.PIPE, text=True) as process:
        try:
            until(lambda: all(record(redis, f"{{{n}}}:retrain").get("next_ms") for n in (0, 1)))
            process.terminate()
            _, err = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert 0 == process.returncode
    assert ["schedule started", "schedule stopped"] == [json.loads(line)["event"] for line in err.splitlines()]
    redis.set("partitions", "many")
    assert 2 == run_command("retrain", "--daemon")


def test_a_daemon_has_the_same_default_as_a_worker_and_a_health_port(url: str, redis: Redis) -> None:
    """A container of its own needs no setting, and its probes show whether it keeps the schedule."""
    assert url
    port = free_port()
    command = [TIDECAST, "retrain", "--daemon", "--health-port", str(port)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            await_ready(f"http://127.0.0.1:{port}", process, lambda: "")
            until(lambda: record(redis).get("trigger") == "every 6h")
        finally:
            process.terminate()
            _, err = process.communicate(timeout=PATIENCE_S)
    assert 0 == process.returncode
    assert '"by_default": true' in err


@pytest.mark.usefixtures("url")
def test_a_daemon_that_cannot_write_the_store_does_not_start(capsys: pytest.CaptureFixture[str]) -> None:
    """It has no other work: its supervisor gets the exit code, and the message names the remedy."""
    assert 2 == run_command("retrain", "--daemon", "--store", "/proc/models")
    err = capsys.readouterr().err
    assert err.startswith("tidecast: there is no schedule to run: the store /proc/models cannot be written (")
    assert "let this user write there" in err
