"""Typical mistakes of users: each is answered by the sentence that helps, and by the exit code of the reference."""

import errno
import os
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import typer.main
from redis import Redis

from tests.harness.forecasts import sent
from tests.harness.models import make_model
from tests.harness.processes import run_command
from tidecast.cli import main as cli
from tidecast.client import Client
from tidecast.errors import SettingsError
from tidecast.models.store import ModelStore
from tidecast.settings import Settings, load_settings
from tidecast.wire import Forecast

FORMS = (
    "write how long ago it is, as 7d or 12h, a date such as 2026-03-01, a time such as 2026-03-01T12:00Z, "
    "or epoch milliseconds"
)
IDS = "; or an entry id, 0 for the oldest, $ for the next"
DURATIONS = "write numbers with units, such as 7d, 1h30m, 45s or 250ms, or a plain number of seconds"
URL = "write it as redis://:password@host:port/db"
BEGINNINGS = "it does not begin with redis://, rediss://, unix:// or redis+sentinel://"
FAILED = cli.FAILED
MISUSED = cli.MISUSED

# Words of the command line, the exit code, and the sentence on standard error.
ON_THE_COMMAND_LINE: list[tuple[str, int, str]] = [
    ("wroker", MISUSED, "no such command 'wroker': did you mean 'worker'?"),
    ("worker --brust", MISUSED, "no such option: --brust (Possible options: --burst)"),
    ("models delete a", MISUSED, "no such command 'delete'; see `tidecast models --help`"),
    ("push", MISUSED, "missing argument 'file'; see `tidecast push --help`"),
    ("backtest --data history.csv", MISUSED, "missing option '--out'; see `tidecast backtest --help`"),
    ("worker --health-port http", MISUSED, "--health-port is 'http': write a whole number; see `tidecast wo"),
    ("worker --health-port 99999", MISUSED, "--health-port is 99999: use 0 to 65535"),
    ("worker --json", MISUSED, "--json works only with --check: a worker prints no result"),
    ("worker --check --namespace a/b", MISUSED, "setting namespace is 'a/b': use letters, digits and the signs "),
    ("worker --redis localhost:6379", MISUSED, f"setting redis_url is not an address, {BEGINNINGS}: {URL}"),
    ("worker --redis http://localhost:6379", MISUSED, f"setting redis_url is not an address, {BEGINNINGS}: {URL}"),
    (
        "worker --redis redis://localhost:port",
        MISUSED,
        f"setting redis_url is not an address, the port is not a number up to 65535: {URL}",
    ),
    (
        "worker --redis redis://::1:6379",
        MISUSED,
        f"setting redis_url is not an address, an IPv6 address needs brackets, as in redis://[::1]:6379/0: {URL}",
    ),
    ("worker --check --store file", FAILED, "the store file is a file, or within one: name a directory"),
    ("push absent.csv", FAILED, "absent.csv does not exist: check the path"),
    ("push history.csv --speed fast", MISUSED, "--speed is 'fast', which is not a positive number: write for "),
    ("push history.csv --speed -3", MISUSED, "--speed is '-3', which is not a positive number: write for "),
    (
        "push history.csv --redis redis://127.0.0.1:1",
        FAILED,
        "Redis: no program listens at the host and port that redis_url names (Error 111 connecting to 127.0.0.1:1. "
        "Connection refused.): start Redis there, or correct redis_url",
    ),
    (
        "tail --redis redis://nobody.invalid",
        FAILED,
        "Redis: the host that redis_url names is not known (Error -2 connecting to nobody.invalid:6379. Name or "
        "service not known.): correct it",
    ),
    ("tail --since soon", MISUSED, f"--since 'soon' is not a time: {FORMS}{IDS}"),
    ("tail --since 2099-01-01", MISUSED, f"--since '2099-01-01' is in the future: {FORMS}{IDS}"),
    ("tail --since 1772323200", MISUSED, "--since '1772323200' looks like seconds: write milliseconds, 1772323200000"),
    ("tail -n 0", MISUSED, "-n is '0': use 1 or more; see `tidecast tail --help`"),
    ("events --since 01.03.2026", MISUSED, f"--since '01.03.2026' is not a time: {FORMS}{IDS}"),
    ("events -n -5", MISUSED, "-n is '-5': use 1 or more; see `tidecast events --help`"),
    ("notify", MISUSED, "setting notify.url is empty: set the address to which events are posted"),
    ("anomalies --since soon", MISUSED, f"--since 'soon' is not a time: {FORMS}{IDS}"),
    ("dead --requeue --follow", MISUSED, "--requeue and --follow exclude each other: leave out one of them"),
    ("dead --since soon", MISUSED, f"--since 'soon' is not a time: {FORMS}{IDS}"),
    ("series list --store file", FAILED, "the store file is a file, or within one: name a directory"),
    ("series show boilr-7", FAILED, "series 'boilr-7' does not exist: did you mean 'boiler-7'?"),
    ("series delete boilr-7 --yes", FAILED, "series 'boilr-7' does not exist: did you mean 'boiler-7'?"),
    ("series delete pump --yes --timeout soon", MISUSED, "--timeout 'soon' is not a duration"),
    ("series delete pump --yes --timeout 1ms", FAILED, "no worker holds readings: start `tidecast worker`; the order "),
    ("series rename pump pump", MISUSED, "'pump' is the name already: give another one"),
    ("repartition --to 0", MISUSED, "--to is 0: give a number from 1 to 256"),
    ("archive --older-than 7", MISUSED, f"--older-than '7' has no unit: {FORMS}"),
    ("archive --older-than -7d", MISUSED, f"--older-than '-7d' is not a time: {FORMS}"),
    ("archive --history file", MISUSED, "--history is file, but file is a file: name another place"),
    ("train --recorded --since 30", MISUSED, f"--since '30' has no unit: {FORMS}"),
    ("train --recorded --since 1y", MISUSED, f"--since '1y' is not a time: {FORMS}"),
    (
        "train --recorded --history absent",
        MISUSED,
        "--history is absent, which is not a directory: name that of `tidecast archive`",
    ),
    ("train history.csv --time-zone Berlin", MISUSED, "time zone 'Berlin' is unknown: did you mean 'Europe/Berlin'?"),
    ("train history.csv --activation relo", MISUSED, "--activation is 'relo': use 'tanh' or 'relu'"),
    ("tune history.csv --series boilr-7", FAILED, "series 'boilr-7' is not in the history: did you mean 'boiler-7'?"),
    ("status --once --interval 0", MISUSED, "--interval '0' is too short: use 100ms or more"),
    (
        "doctor boilr-7",
        FAILED,
        "series 'boilr-7' does not exist, neither in Redis nor in the store models: did you mean 'boiler-7'?",
    ),
    ("doctor --series boiler-7", MISUSED, "no such option: --series (Possible options: --redis, --store)"),
    ("models list boilr-7", FAILED, "series 'boilr-7' has no version: did you mean 'boiler-7'?"),
    ("models show BOILER-7", FAILED, "series 'BOILER-7' has no champion in models: did you mean 'boiler-7'?"),
    ("models show boiler-7 --version 9", FAILED, "series 'boiler-7' has no version 9: see `tidecast models list`"),
    ("models promote boilr-7 1", FAILED, "series 'boilr-7' has no version: did you mean 'boiler-7'?"),
    ("models promote boiler-7 9", FAILED, "series 'boiler-7' has no version 9; it has 1: name one of those"),
    ("models promote boiler-7 one", MISUSED, "VERSION: write a whole number; see `tidecast models promote --help`"),
    ("models rollback boilr-7", FAILED, "series 'boilr-7' has no version: did you mean 'boiler-7'?"),
    (
        "models rollback boiler-7",
        FAILED,
        "series 'boiler-7' had no champion before version 1: see `tidecast models list`, and promote one",
    ),
    ("models export boilr-7 --mlflow", FAILED, "series 'boilr-7' has no version: did you mean 'boiler-7'?"),
    ("models copy", MISUSED, "there is no bucket: set bucket.url, such as s3://models/plant"),
    ("models prune --keep 0", MISUSED, "--keep is '0': use 1 or more; see `tidecast models prune --help`"),
    ("retrain pumpe", FAILED, "no worker has answered a reading of series 'pumpe': did you mean 'pump'?"),
    ("retrain --store file", MISUSED, "the store is file, but file is a file: name another place"),
    ("retrain --daemon pump", MISUSED, "--daemon runs the schedule of all series: leave the series and --json out"),
    ("report boilr-7 history.csv", FAILED, "series 'boilr-7' has no champion in models: did you mean 'boiler-7'?"),
    (
        "explain boiler-7 history.csv --version 9",
        FAILED,
        "series 'boiler-7' has no version 9: see `tidecast models list`",
    ),
    ("explain boiler-7 history.csv --out file", MISUSED, "--out is file, but file is a file: name another place"),
    ("replay history.csv --out folder", MISUSED, "--out is folder, which is a directory: name a file"),
    ("backtest --data history.csv --out o --test-size 2", MISUSED, "--test-size is '2': use 0.9 or less; see `tide"),
    ("size --series -5", MISUSED, "--series is '-5': use 1 or more; see `tidecast size --help`"),
    ("demo --out file", MISUSED, "--out is file, but file is a file: name another place"),
    ("dashboard --port 99999", MISUSED, "--port is '99999': use 65535 or less; see `tidecast dashboard --help`"),
    (
        "dashboard --host 0.0.0.0",
        MISUSED,
        "setting dashboard.host is 0.0.0.0, which others reach, and there is no token: set "
        "TIDECAST_DASHBOARD__TOKEN, or listen on 127.0.0.1",
    ),
    ("dashboard --token short", MISUSED, "setting dashboard.token has 5 characters: use at least 8"),
]

MISTAKES = [words for words, _, _ in ON_THE_COMMAND_LINE]

# A settings file, and the sentence.
IN_THE_FILE: list[tuple[str, str]] = [
    ("partitons = 4", "setting partitons does not exist: did you mean 'partitions'?"),
    ("[worker]\npartitions = 4", "setting worker.partitions does not exist: write partitions at the top of the file, "),
    ("batch = 4", "setting batch does not exist: batch belongs in the group [worker] or [train]"),
    ("[series]\nhealth_port = 1", "setting series.health_port does not exist: health_port belongs in the group [w"),
    ("[wroker]\nbatch = 4", "group [wroker] does not exist: did you mean 'worker'?"),
    ("[redis]\nurl = 'x'", "group [redis] does not exist: use one of worker, series, "),
    ("worker = 4", "setting worker is a group: write its settings below [worker]"),
    ("partitions = 'many'", "setting partitions is not valid: write a whole number"),
    ("partitions = 1.5", "setting partitions is 1.5: write a whole number"),
    ("partitions = true", "setting partitions is True: write another value than true or false"),
    ("partitions = -1", "setting partitions is -1: use 1 to 256"),
    ("redis_cluster = 'maybe'", "setting redis_cluster is 'maybe': write true or false"),
    ("store = 5", "setting store is 5: write a path in quotes"),
    ("redis_url = 6379", "setting redis_url is not valid: write it in quotes"),
    ("[series]\nlevel = 90", "setting series.level is 90: use more than 0 and less than 1"),
    ("[series]\nlevel = '90%'", "setting series.level is '90%': write a number"),
    ("[series]\nmore_levels = 0.5", "setting series.more_levels is 0.5: write a list, such as [0.5, 0.99]"),
    ("[notify]\nkinds = 5", """setting notify.kinds is 5: write a list, such as ["a", "b"]"""),
    ("[series]\nmore_levels = [0.5, 0.5]", "setting series.more_levels is [0.5, 0.5]: list each level once"),
    ("[series]\nminimum = 5\nmaximum = 1", "setting series.maximum is 1: use more than series.minimum, which is 5"),
    ("[retrain]\nevery = '6y'", f"setting retrain.every is '6y', which is not a duration: {DURATIONS}, or \"never\""),
    ("[retrain]\nevery = 0.5", "setting retrain.every is 0.5: set at least 1s"),
    ("[retrain]\nbudget = '10min'", f"setting retrain.budget is '10min', which is not a duration: {DURATIONS}"),
    ("[retrain]\nsince = 'all'", f"setting retrain.since is 'all', which is not a time: {FORMS}"),
    ("[retrain]\nsince = 2099-01-01", f"setting retrain.since is 2099-01-01, which is in the future: {FORMS}"),
    (
        "[retrain]\nmemory = '4g'",
        "setting retrain.memory is '4g', which is not a size: write a size such as 64KB, 16MB or 4GB, or a plain ",
    ),
    ("[retrain]\nmemory_mb = 4096", "setting retrain.memory_mb does not exist: did you mean 'memory'?"),
    ("[worker]\nlease_s = 5", "setting worker.lease_s does not exist: did you mean 'lease'?"),
    ("[worker]\nretention = []", f"setting worker.retention is []: {DURATIONS}"),
    ("[worker]\nlease = inf", "setting worker.lease is inf: write a number that is not inf or nan"),
    ("partitions 4", "tidecast.toml cannot be read: Expected '=' after a key in a key/value pair (at line 1, "),
    ("partitions = 4\npartitions = 5", "tidecast.toml cannot be read: Cannot overwrite a value (at line 2, column 15)"),
]


@pytest.fixture
def _a_folder(monkeypatch: pytest.MonkeyPatch, settings: Settings, redis: Redis, tmp_path: Path) -> None:
    """Make a history, a file and a folder in the way, a store with one series, and a Redis with another one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDECAST_REDIS_URL", settings.redis_url.get_secret_value())
    monkeypatch.setenv("TIDECAST_STORE", "models")
    lines = [f"boiler-7,{1_700_000_000_000 + 3_600_000 * hour},{hour % 24}" for hour in range(60)]
    Path("history.csv").write_text("\n".join(["series,timestamp,value", *lines, ""]))
    Path("file").write_text("")
    Path("folder").mkdir()
    ModelStore(tmp_path / "models").publish(make_model("boiler-7"))
    redis.hset("state", "pump", b"\x00")


@pytest.mark.usefixtures("_a_folder")
@pytest.mark.parametrize(
    ("words", "code", "sentence"), ON_THE_COMMAND_LINE, ids=[row[0] for row in ON_THE_COMMAND_LINE]
)
def test_a_mistake_on_the_command_line_is_one_sentence_that_helps(
    capsys: pytest.CaptureFixture[str], words: str, code: int, sentence: str
) -> None:
    """The message names the fault, the value, and the remedy; no output could be taken for an answer by a program."""
    assert code == run_command(*words.split())
    out, err = capsys.readouterr()
    assert err.startswith(f"tidecast: {sentence}")
    assert ("", 1) == (out, err.count("\n"))


def test_every_command_has_a_typical_mistake_in_the_table() -> None:
    """A new command comes with its own."""

    def names(group: Any, *above: str) -> Iterator[str]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from names(command, *above, name)
            else:
                yield " ".join((*above, name))

    commands = names(typer.main.get_command(cli.app))
    assert [] == [command for command in commands if not any(row.startswith(command) for row in MISTAKES)]


@pytest.mark.parametrize(("content", "beginning"), IN_THE_FILE, ids=[row[0].replace("\n", " ") for row in IN_THE_FILE])
def test_a_mistake_in_the_settings_file_is_one_sentence_that_helps(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str, beginning: str
) -> None:
    """It names the setting and its value; for an unknown setting, the likely one or its place."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TIDECAST_")]:
        monkeypatch.delenv(name)
    Path("tidecast.toml").write_text(f"{content}\n")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(beginning)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("_a_folder")
@pytest.mark.parametrize("since", ["1h", "2000-01-01", "2000-01-01T12:00+01:00", "946684800000", "0"])
@pytest.mark.parametrize("command", ["tail", "events"])
def test_every_form_of_a_time_is_taken_where_a_stream_is_followed(
    capsys: pytest.CaptureFixture[str], redis: Redis, command: str, since: str
) -> None:
    """`--since 1h` used to be passed on to Redis, which was then blamed."""
    made = Forecast("1-0", "a", 2000, 1.5, None, None, 0.9, 1000, None, "naive", 1.0)
    redis.xadd("forecasts", sent(made))
    redis.xadd("events", {"kind": "series_created", "detail": "first reading received", "series": "a"})
    assert 0 == run_command(command, "--since", since, "-n", "1")
    assert 1 == capsys.readouterr().out.count("\n")


@pytest.mark.usefixtures("_a_folder")
def test_a_time_cuts_the_stream_where_it_says(capsys: pytest.CaptureFixture[str], redis: Redis) -> None:
    """The entry of that very millisecond is the first."""
    for ms in (1_600_000_000_000, 1_700_000_000_000, 1_700_000_000_001):
        redis.xadd("events", {"kind": "series_created", "detail": str(ms)}, id=f"{ms}-0")
    run_command("events", "--since", "2023-11-14T22:13:20Z", "-n", "2")
    assert ["1700000000000", "1700000000001"] == [line.split()[-1] for line in capsys.readouterr().out.splitlines()]


class Full(StringIO):
    """Standard output on a disk that is full; a lost line is noticed only at the flush."""

    def flush(self) -> None:
        """Fail."""
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("words", [("--version",), ("worker", "--check"), ("models", "list", "--json")], ids=" ".join)
def test_an_answer_that_cannot_be_written_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A script must not take an empty file on a full disk for an answer."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", Full())
    assert 1 == run_command(*words)
    assert "tidecast: No space left on device" in capsys.readouterr().err


def test_a_client_follows_from_now_on_by_default(settings: Settings, redis: Redis) -> None:
    """The forms of times are the commands'; a program gives an entry id."""
    with Client(settings.redis_url.get_secret_value()) as client:
        redis.ping()
        with pytest.raises(SettingsError, match="give an entry id"):
            client.forecasts("1h")


@pytest.mark.parametrize(
    "words",
    [
        ("push", "history.csv", "redis://:hunter2@localhost"),
        ("redis://:hunter2@localhost", "worker"),
        ("worker", "--health-port", "redis://:hunter2@localhost"),
        ("tail", "--redis-url=redis://:hunter2@localhost"),
    ],
    ids=" ".join,
)
def test_an_address_in_the_wrong_place_does_not_show_its_password(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...]
) -> None:
    """A terminal is recorded, and a log of CI is read by many."""
    monkeypatch.chdir(tmp_path)
    code = run_command(*words)
    out, err = capsys.readouterr()
    assert (2, "", False) == (code, out, "hunter2" in err)
