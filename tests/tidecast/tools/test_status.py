"""`tidecast status`: its figures, as a table, as JSON, and on a terminal again and again."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness.installation import Installation
from tests.harness.models import make_model
from tests.harness.processes import TIDECAST, run_command
from tests.harness.programs.terminal import on_a_terminal
from tidecast.cli.commands.operate import status as status_command
from tidecast.settings import RetrainSettings
from tidecast.tools import status
from tidecast.tools.status import StatusWatch


def run(installation: Installation, *words: str) -> int:
    """Run the command on the installation; return its exit code."""
    where = ("--redis", installation.server.url, "--store", str(installation.settings.store), "--interval", "0.1")
    return run_command("status", *words, *where)


def looked(installation: Installation, **sums: Any) -> dict[str, Any]:
    """Look once, without the rates."""
    return StatusWatch(installation.redis, installation.settings).look().as_dict() | sums


def test_a_look_counts_what_there_is(healthy: Installation) -> None:
    """Readings, series, models, dead letters, and when models are trained next."""
    healthy.push(3000, "n/a")
    healthy.answer()
    healthy.push(60_000)
    look = looked(healthy)
    (partition,) = look["partitions"]
    names = ("answered", "late", "duplicate", "dead", "lost", "series")
    assert (3, 0, 0, 1, 0, 1) == tuple(look[name] for name in names) == tuple(partition[name] for name in names)
    assert 1 == look["champions"]
    assert [partition["owner"]] == list(look["workers"])
    assert 50 < partition["waited_s"] < 3600
    assert partition["lag"] == (1 if "entries-added" in healthy.redis.xinfo_stream("readings") else None)
    assert {"state": None, "last_ms": None, "detail": None} == {
        n: v for n, v in partition["retrain"].items() if n != "next_ms"
    }
    assert healthy.began_ms < partition["retrain"]["next_ms"]


def test_two_looks_tell_a_rate(healthy: Installation) -> None:
    """Readings a second between them."""
    watch = StatusWatch(healthy.redis, healthy.settings)
    before = watch.look()
    for step in range(3, 13):
        healthy.push(1000 * step)
    healthy.answer()
    after = watch.look()
    expected = 10 / ((after.at_ms - before.at_ms) / 1000)
    assert pytest.approx(expected) == after.as_dict()["rate"]
    assert before.as_dict()["rate"] is None


def test_a_look_sees_what_was_published_since_the_one_before(healthy: Installation) -> None:
    """It does not list the store again."""
    watch = StatusWatch(healthy.redis, healthy.settings)
    assert 1 == watch.look().champions
    healthy.store.publish(make_model("b"))
    assert 2 == watch.look().champions


def test_a_worker_that_is_silent_or_gone_is_no_owner(healthy: Installation) -> None:
    """Its partition has no owner."""
    healthy.redis.hset("lease", "expires_ms", 1)
    healthy.redis.delete("workers")
    assert ((), None) == (looked(healthy)["workers"], looked(healthy)["partitions"][0]["owner"])
    healthy.worker.leave()
    assert ((), None) == (looked(healthy)["workers"], looked(healthy)["partitions"][0]["owner"])


def test_states_that_vanish_during_the_look_are_no_series(
    healthy: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repartition, or a FLUSHALL, removes them between the count of their fields and the sample of them."""
    monkeypatch.setattr(status, "COUNTED", 0)
    watch = StatusWatch(healthy.redis, healthy.settings)
    monkeypatch.setattr(healthy.redis, "hrandfield", lambda *_: [])
    assert 0 == watch.look().partitions[0].series


def test_many_series_are_estimated(healthy: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a sample of the fields, for each series has several."""
    monkeypatch.setattr(status, "COUNTED", 100)
    names = [f"s{i}" for i in range(2000)]
    blocks = {f"{name}\x1f{block}": "" for name in names for block in range(3)}
    healthy.redis.hset("state", mapping=dict.fromkeys(names, "") | blocks)
    (partition,) = looked(healthy)["partitions"]
    assert partition["estimated"]
    assert 1600 < partition["series"] < 2400


def test_partitions_have_rows_of_their_own(healthy: Installation) -> None:
    """Partitions without any reading have one too."""
    healthy.redis.set("partitions", 3)
    look = looked(healthy)
    assert [(0, None), (1, None), (2, None)] == [
        (partition["partition"], partition["owner"]) for partition in look["partitions"]
    ]


def test_without_a_terminal_it_looks_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], healthy: Installation
) -> None:
    """As a table without colours, or as one object."""
    monkeypatch.setenv("COLUMNS", "200")
    capsys.readouterr()
    assert 0 == run(healthy)
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "readings: 3 answered, 0 late, 0 duplicate, 0 dead" in printed
    assert "retraining of partition 0: next 20" in printed
    assert 0 == run(healthy, "--json")
    assert 3 == json.loads(capsys.readouterr().out)["answered"]


@pytest.mark.parametrize(
    ("retrain", "line"),
    [
        (RetrainSettings(), "retraining: every 6h, by default; no run is planned yet"),
        (RetrainSettings(cron="0 3 * * *"), "retraining: cron 0 3 * * *; no run is planned yet"),
        (
            RetrainSettings(every="never"),
            'retraining: off here: retrain.every is "never"; set it to a duration such as "6h"; no run is planned yet',
        ),
    ],
)
def test_a_schedule_without_a_run_is_shown_too(healthy: Installation, retrain: RetrainSettings, line: str) -> None:
    """The reason for the missing run is shown: silence would look like a schedule."""
    healthy.redis.delete("retrain")
    look = StatusWatch(healthy.redis, healthy.told(retrain=retrain).settings).look()
    assert line in list(status_command._lines(look))
    assert look.as_dict()["schedule"] in line


@pytest.mark.parametrize("words", [(), ("--once",)], ids=["live", "once"])
def test_on_a_terminal_it_follows_until_interrupted(
    healthy: Installation, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """The table is redrawn; `--once` ends by itself."""
    answered = interrupted = False

    def seen(text: str, process: subprocess.Popen[bytes]) -> None:
        nonlocal answered, interrupted
        if "1 series" in text and not answered and not words:
            answered = True
            healthy.redis.xadd("readings", {"series": "b", "value": 1})
            healthy.worker.step(time.time())
        if "2 series" in text and not interrupted:
            interrupted = True  # once: another would hit the shutdown that the first has begun
            process.send_signal(signal.SIGINT)

    where = ("--redis", healthy.server.url, "--store", str(healthy.settings.store), "--interval", "0.1")
    code, text = on_a_terminal((TIDECAST, "status", *words, *where), tmp_path, {}, seen)
    assert (0 if words else 130, not words) == (code, "2 series" in text)
    assert "\x1b[" in text
