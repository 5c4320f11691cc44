"""`tidecast doctor`: its output, its exit codes, and its facts about one series."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.harness.installation import Installation
from tests.harness.models import make_model
from tests.harness.processes import run_command
from tidecast.doctor.examination import OF_REDIS, OF_THE_STORE


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings file but the test's own."""
    monkeypatch.chdir(tmp_path)


class Doctor:
    """The command on an installation, within this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str], installation: Installation) -> None:
        self._capsys = capsys
        self._installation = installation

    def __call__(self, *words: str) -> tuple[int, str]:
        """Run the doctor; return its exit code and its output."""
        where = ("--redis", self._installation.server.url, "--store", str(self._installation.settings.store))
        self._capsys.readouterr()  # the worker's log
        return run_command("doctor", *words, *where), self._capsys.readouterr().out

    def facts(self, series: str) -> Any:
        """Return the facts about a series."""
        code, printed = self(series, "--json")
        assert 0 == code
        return json.loads(printed)


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], healthy: Installation) -> Doctor:
    """The command on a healthy installation."""
    monkeypatch.setenv("TIDECAST_RETRAIN__EVERY", "1h")
    return Doctor(capsys, healthy)


def test_all_is_well_is_exit_code_0(doctor: Doctor) -> None:
    """One line; as JSON an object without findings."""
    assert (0, f"retraining: every 1h\nall is well: {len(OF_REDIS) + len(OF_THE_STORE)} checks\n") == doctor()
    code, printed = doctor("--json")
    assert (0, {"healthy": True, "schedule": "every 1h", "findings": []}) == (code, json.loads(printed))


def test_a_warning_is_exit_code_0_and_an_error_1(doctor: Doctor, healthy: Installation) -> None:
    """Both are printed, each with its remedy below it."""
    healthy.redis.delete("retrain")
    code, printed = doctor()
    assert (0, "0 errors, 1 warning") == (code, printed.splitlines()[-1])
    healthy.worker.leave()
    code, printed = doctor()
    expected = ["error    lease: no worker answers readings", "         -> start `tidecast worker` with these settings"]
    assert (1, expected) == (code, printed.splitlines()[:2])
    code, printed = doctor("--json")
    report = json.loads(printed)
    assert (1, False, ["lease", "schedule"]) == (
        code,
        report["healthy"],
        [finding["check"] for finding in report["findings"]],
    )


@pytest.mark.parametrize(
    ("file", "problem"),
    [
        ("partitions = 0\n", "setting partitions"),
        ("partition = 2\n", "setting partition does not exist: did you mean 'partitions'?"),
        ("= 2\n", "cannot be read"),
    ],
)
def test_a_broken_settings_file_is_a_finding(doctor: Doctor, file: str, problem: str) -> None:
    """Invalid, unknown, or no TOML."""
    Path("tidecast.toml").write_text(file)
    code, printed = doctor("--json")
    (finding,) = json.loads(printed)["findings"]
    assert (1, "settings", True) == (code, finding["check"], problem in finding["problem"])
    assert "docs/reference.md" in finding["remedy"]


def test_an_unknown_variable_is_a_finding(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name."""
    monkeypatch.setenv("TIDECAST_REDIS", "x")
    code, printed = doctor()
    assert (1, True) == (code, "settings: TIDECAST_REDIS names no setting" in printed)


def test_a_series_with_a_model_tells_who_answers_and_how_well(doctor: Doctor, healthy: Installation) -> None:
    """Its version and verdict, its readings, its experts' errors, its drift, and its dead letters."""
    for step in range(3, 20):
        healthy.push(1000 * step, str(step % 3))
    healthy.push(20_000, "n/a")
    for arrived, ts in ((20_100, 19_000), (20_200, 0), (20_300, 21_000)):
        if ts == 21_000:
            healthy.answer()
        fields = {"series": "a", "value": "1", "ts": healthy.began_ms + ts}
        healthy.redis.xadd("readings", fields, id=f"{healthy.began_ms + arrived}-1")  # type: ignore[arg-type] # numbers are fine
    assert [20, 1, 1, 1, 1] == list(doctor.facts("a")["readings"].values())
    healthy.redis.xadd("events", {"kind": "drift", "detail": "level: 1.2", "series": "a"})
    facts = doctor.facts("a")
    assert (1, [1], {"1": "published"}) == tuple(facts["model"][name] for name in ("champion", "versions", "verdicts"))
    state = facts["state"]
    assert (20, healthy.began_ms + 19_000, 1) == (state["readings"], state["last_ts"], state["version"])
    assert {"naive", "lstm"} <= set(state["errors"])
    assert ["errors", "level", "season", "model_degraded"] == list(state["drift"])
    assert facts["forecast"]["kind"] in state["errors"]
    assert {"bad_value": 1} == facts["dead"]["reasons"]
    assert ["series_created", "drift"] == [event["kind"] for event in facts["events"]]
    code, sentences = doctor("a")
    assert (0, "a, in partition 0") == (code, sentences.splitlines()[0])
    for words in (
        "model: version 1 forecasts",
        "recent errors, the least first: ",
        "20 answered, 1 late, 1 duplicate, 1 dead, 1 waiting",
        "dead letters: 1 bad_value; the newest",
    ):
        assert words in sentences


def test_a_series_on_probation_says_how_it_stands(doctor: Doctor, healthy: Installation) -> None:
    """Beside the former version."""
    healthy.store.publish(make_model("a", seed=1))
    healthy.worker.step(time.time() + 10)  # it looks into the store now and then
    for step in range(3, 9):
        healthy.push(1000 * step, str(step % 3))
    healthy.worker.step(time.time() + 20)
    trial = doctor.facts("a")["state"]["probation"]
    assert (2, 1, False) == (trial["version"], trial["former"], trial["to_roll_back"])
    assert "probation: version 2 beside 1 over " in doctor("a")[1]


def test_a_series_without_a_model_says_why(doctor: Doctor, healthy: Installation) -> None:
    """The reasons are: too few readings, none at all, no published model, or a store that is damaged."""
    healthy.redis.xadd("readings", {"series": "young", "value": 1})
    healthy.answer()
    assert "It has 1 reading, and a first model needs 200 (retrain.min_history): wait for 199" in doctor("young")[1]
    healthy.redis.xadd("readings", {"series": "pushed", "value": 1})
    assert "readings: none answered so far" in doctor("pushed")[1]
    healthy.store.publish(make_model("young"), promote=False)
    assert "Version 1 passed its test, but was not published: `tidecast models promote`" in doctor("young")[1]
    lost = make_model("young").header.evidence.model_copy(update={"verdict": "not published, it is worse"})
    healthy.store.publish(make_model("young", evidence=lost), promote=False)
    shown = doctor("young")[1]
    assert "Version 2 failed its test, so the series is better forecast without it" in shown
    assert "promote" not in shown
    next(healthy.settings.store.rglob("champion")).write_bytes(b"x")
    assert "holds no version's number: promote one" in doctor("a")[1]


def test_a_series_that_was_renamed_or_deleted_is_described_as_such(doctor: Doctor, healthy: Installation) -> None:
    """Its old forecasts are still in the stream."""
    healthy.store.rename("a", "b")
    assert "the series of this name is called b since 20" in doctor("a")[1]
    healthy.store.delete("b")
    assert "the series of this name was deleted on 20" in doctor("b")[1]


def test_a_constant_series_needs_no_model(doctor: Doctor, healthy: Installation) -> None:
    """No training is advised; the value and the condition are shown."""
    for n in range(60):
        fields = {"series": "calm", "value": 21.5, "ts": healthy.began_ms + 1000 * n}
        healthy.redis.xadd("readings", fields)  # type: ignore[arg-type] # numbers are fine
    healthy.answer()
    shown = doctor("calm")[1]
    assert "model: none, and none is needed" in shown
    assert "value: 21.5 in every reading: the last value is the best forecast" in shown
    assert (True, "ok") == tuple(doctor.facts("calm")["state"][name] for name in ("never_changed", "condition"))


def test_a_change_of_level_is_shown_with_both_levels_and_its_time(doctor: Doctor, healthy: Installation) -> None:
    """However many events came after it."""
    facts: dict[str, Any] = {"kind": "level_changed", "detail": "from 20 to 26", "series": "a", "old": 20, "new": 26}
    healthy.redis.xadd("events", facts | {"ts": 1_700_000_600_000, "since": 1_700_000_000_000})
    for _ in range(9):
        healthy.redis.xadd("events", {"kind": "drift", "detail": "errors", "series": "a"})
    assert "level: changed from 20 to 26 at 2023-11-14T22:13:20Z" in doctor("a")[1]


@pytest.mark.parametrize(("name", "remedy"), [("B", "did you mean 'b'?"), ("zzz", "use one of a, b"), ("", "use one")])
def test_a_series_that_nobody_knows_is_a_mistake(
    capsys: pytest.CaptureFixture[str], healthy: Installation, name: str, remedy: str
) -> None:
    """Before, it passed for a series without readings; now the names in the store and in Redis are searched."""
    healthy.store.publish(make_model("b"))
    where = ("--redis", healthy.server.url, "--store", str(healthy.settings.store))
    assert 1 == run_command("doctor", name, *where)
    assert (
        f"{name!r} does not exist, neither in Redis nor in the store {healthy.settings.store}: {remedy}"
        in capsys.readouterr().err
    )
