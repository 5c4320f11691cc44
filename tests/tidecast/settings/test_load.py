"""Settings: their sources and precedence, and the errors for wrong ones."""

import math
import os
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tidecast.errors import SettingsError
from tidecast.settings import load_settings, worker_name, worker_threads


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable and no file but the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TIDECAST_CONFIG", raising=False)


def test_code_wins_over_environment_over_file_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of precedence, each level once."""
    assert "" == load_settings().namespace
    Path("tidecast.toml").write_text('namespace = "file"\n')
    assert "file" == load_settings().namespace
    monkeypatch.setenv("TIDECAST_NAMESPACE", "environment")
    assert "environment" == load_settings().namespace
    assert "code" == load_settings(namespace="code").namespace
    assert "environment" == load_settings(namespace=None).namespace


def test_a_worker_computes_with_the_threads_set_else_with_one_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    """These are the cores that it may run on; where the system does not tell them apart, all there are."""
    assert len(os.sched_getaffinity(0)) == worker_threads(load_settings())
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 5})
    assert 3 == worker_threads(load_settings())
    monkeypatch.setenv("TIDECAST_WORKER__THREADS", "7")
    assert 7 == worker_threads(load_settings())
    monkeypatch.delenv("TIDECAST_WORKER__THREADS")
    monkeypatch.delattr(os, "sched_getaffinity")
    assert os.cpu_count() == worker_threads(load_settings())


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("NOTIFY__KINDS", "stuck", """is 'stuck', which is not JSON: write it as ["a", "b"]"""),
        ("notify__kinds", "stuck", """is 'stuck', which is not JSON: write it as ["a", "b"]"""),
        ("NOTIFY__HEADERS", "X-Key: secret", """is not JSON: write it as ["a", "b"]"""),
        ("SERIES__UNITS", "bar", """is 'bar', which is not JSON: write it as {"boiler-*": "bar"}"""),
        ("SERIES__MORE_LEVELS", "0.5,0.9", "is '0.5,0.9', which is not JSON: write it as [0.5, 0.99]"),
        ("ANOMALIES__SERIES", "boiler", """is 'boiler', which is not JSON: write it as [{"pattern": "boiler-*"}]"""),
        ("BUCKET", "s3://a", "is a group: set each of its settings by itself, such as TIDECAST_BUCKET__"),
    ],
)
def test_a_variable_that_should_be_json_is_named_with_an_example(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    """A list of one word looks as if it needed no brackets."""
    monkeypatch.setenv(f"TIDECAST_{variable}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"TIDECAST_{variable.upper()} {expected}")
    assert "secret" not in str(caught.value)


def test_a_group_takes_each_of_its_settings_from_where_it_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable for one setting of a group does not hide the file's others."""
    Path("tidecast.toml").write_text('[worker]\nbatch = 7\nblock = "9ms"\n')
    monkeypatch.setenv("TIDECAST_WORKER__BATCH", "5")
    worker = load_settings().worker
    assert (5, 0.009, 5.0) == (worker.batch, worker.block, worker.lease)


def test_the_first_pattern_that_matches_overrides_the_rule_of_anomalies() -> None:
    """Settings that it leaves out keep their defaults; wrong ones are named as those of other groups are."""
    text = "[anomalies]\ncool_down = 5\n"
    for pattern, more in (("boiler-*", "muted = true"), ("*-1", "threshold = 300")):
        text += f'[[anomalies.series]]\npattern = "{pattern}"\n{more}\n'
    Path("tidecast.toml").write_text(text)
    rules = [load_settings().anomalies.rule_of(name) for name in ("boiler-1", "pump-1", "pump-2")]
    assert [(5000.0, True), (300.0, False), (5000.0, False)] == [(rule.threshold, rule.muted) for rule in rules]
    assert {5} == {rule.cool_down for rule in rules}
    for wrong, message in (
        ({"cool_down": 1}, "series.0.pattern is missing"),
        ({"patern": "a"}, "patern does not exist: did you mean 'pattern'"),
    ):
        with pytest.raises(SettingsError, match=message):
            load_settings(anomalies={"series": [wrong]})


def test_the_file_may_be_named_by_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The file must then exist."""
    named = tmp_path / "other.toml"
    monkeypatch.setenv("TIDECAST_CONFIG", str(named))
    with pytest.raises(SettingsError, match=r"other\.toml, which is not a file"):
        load_settings()
    named.write_text("partitions = 4\n")
    assert 4 == load_settings().partitions


@pytest.mark.parametrize("wrong", [math.inf, -math.inf, math.nan, "inf", "nan", 1e400])
@pytest.mark.parametrize(
    ("group", "name"),
    [
        ("", "redis_timeout"),
        ("worker", "lease"),
        ("train", "learning_rate"),
        ("series", "minimum"),
        ("retrain", "jitter"),
    ],
)
def test_a_number_that_is_not_finite_is_refused(group: str, name: str, wrong: Any) -> None:
    """An infinite time limit is an OverflowError of the socket, an infinite learning rate is minutes lost."""
    given = {group: {name: wrong}} if group else {name: wrong}
    with pytest.raises(SettingsError, match=f"setting {group + '.' if group else ''}{name} is "):
        load_settings(**given)


def test_several_wrong_settings_are_all_named() -> None:
    """One start reports them all."""
    with pytest.raises(SettingsError, match=r"^setting redis_timeout is -1: [^;]*; setting partitions is 0: [^;]*$"):
        load_settings(partitions=0, redis_timeout=-1)


@pytest.mark.parametrize("content", [b"partitions = ", b"\xff\xfe", b"partitions 4"])
def test_a_file_that_is_no_toml_is_one_sentence(content: bytes) -> None:
    """It names the file."""
    Path("tidecast.toml").write_bytes(content)
    with pytest.raises(SettingsError, match=r"^tidecast\.toml cannot be read: [^\n]*: correct the file$"):
        load_settings()


@pytest.mark.parametrize(
    "variable",
    [
        "TIDECAST_REDIS_ULR",
        "TIDECAST_WROKER__BATCH",
        "TIDECAST_WORKER__BTACH",
        "tidecast_x",
        "TIDECAST_REDIS_URL__PASSWORD",
    ],
)
def test_a_variable_that_names_no_setting_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """A typing error is never ignored."""
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=r"names no setting|does not exist"):
        load_settings()


@pytest.mark.parametrize(
    ("variable", "remedy"),
    [
        ("REDIS", "use one of TIDECAST_REDIS_URL, TIDECAST_REDIS_CLUSTER, "),
        ("WORKER_BATCH", "did you mean TIDECAST_WORKER__BATCH?"),
        ("X", "correct or unset it"),
    ],
)
def test_a_misspelt_variable_is_answered_with_the_right_one(
    monkeypatch: pytest.MonkeyPatch, variable: str, remedy: str
) -> None:
    """A single underscore is the usual mistake."""
    monkeypatch.setenv(f"TIDECAST_{variable}", "1")
    with pytest.raises(SettingsError, match=re.escape(f"TIDECAST_{variable} names no setting: {remedy}")):
        load_settings()


def test_a_variable_that_cannot_be_parsed_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole group as text must be JSON."""
    monkeypatch.setenv("TIDECAST_WORKER", "{")
    with pytest.raises(SettingsError, match="TIDECAST_WORKER is a group: set each of its settings by itself"):
        load_settings()


def test_an_unknown_setting_in_code_is_refused() -> None:
    """As everywhere."""
    with pytest.raises(SettingsError, match="setting colour"):
        load_settings(colour="blue")


def test_settings_do_not_change_under_their_readers() -> None:
    """Frozen, the groups too."""
    with pytest.raises(ValidationError):
        load_settings().partitions = 3
    with pytest.raises(ValidationError):
        load_settings().worker.batch = 3


def test_a_worker_without_a_name_is_like_no_other() -> None:
    """Two workers on one machine never take each other's lease; a name set is kept."""
    assert 3 == len({worker_name(load_settings()) for _ in range(3)})
    assert "w1" == worker_name(load_settings(worker={"name": "w1"}))
