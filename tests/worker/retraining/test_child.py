"""The child process that trains: it gets its job, its output is read, it is ended in time, and its failures stay its
own.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.worker.retraining.harness import FINISH, gone, stand_in
from tidecast import log
from tidecast.errors import SettingsError
from tidecast.log import LineWriter
from tidecast.settings import Settings, load_settings
from worker.retraining import child
from worker.retraining.child import RunReport, TrainingResult


def run(program: str, cancelled: Callable[[], bool] = lambda: False, **limits: Any) -> TrainingResult:
    """Run a stand-in under these settings of the group `retrain`."""
    settings = load_settings(redis_url="redis://:hunter2@127.0.0.1:1/0", retrain=limits)
    return child.run(settings, 0, cancelled=cancelled, command=stand_in(program))


def test_the_child_is_told_all_settings_with_the_password_and_what_to_train() -> None:
    """One line of JSON on its standard input, from which it makes the same settings."""
    settings = load_settings(
        redis_url="redis://:hunter2@127.0.0.1:1/0", series={"more_levels": [0.5]}, retrain={"every": "6h"}
    )
    line = child.request(settings, 3, ["a", "b"], force=True)
    job = json.loads(line)
    assert settings == Settings(**job.pop("settings"))
    assert {"partition": 3, "series": ["a", "b"], "force": True} == job
    assert 1 == line.count(b"\n")


def test_a_run_that_ends_well_gives_its_summary() -> None:
    """The summary is the last line of standard output; lines that libraries print before it do not matter."""
    assert TrainingResult(RunReport(3, 1, 0, 2, 1.5)) == run("print('a library says hello')\n" + FINISH)


def test_the_log_of_the_child_is_ours_line_by_line(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Objects as they are; other text as the text of an event."""
    monkeypatch.setattr(log, "_writer", LineWriter(sys.stderr))
    monkeypatch.setattr(log, "_always", {})  # a worker of another test may have left its name
    run("os.write(2, b'{\"event\": \"tra'); time.sleep(0.05); os.write(2, b'ined\"}\\nnot json')\n" + FINISH)
    output = capfd.readouterr()
    assert {"event": "trained"} == json.loads(output.err.splitlines()[0])
    assert "not json" in output.out + output.err  # where structlog writes is the program's choice


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("sys.exit(3)", "it ended with exit code 3: its log has the cause"),
        (FINISH + "sys.exit(1)", "it ended with exit code 1: its log has the cause"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "it was ended by SIGSEGV"),
        ("print('all is well')", "it ended without a summary"),
        ("print('{\"trained\": 1}')", "it ended without a summary"),
        ("print('[1]')", "it ended without a summary"),
    ],
)
def test_a_run_that_goes_wrong_is_a_sentence(program: str, sentence: str) -> None:
    """An exit code, a signal, or no figures."""
    assert TrainingResult(failure=sentence) == run(program)


def test_a_program_that_is_not_there_is_a_sentence(settings: Settings) -> None:
    """As is a machine without room for another process."""
    outcome = child.run(settings, 0, command=("/nowhere/python",))
    assert outcome.failure.startswith("the child process could not be started: ")


@pytest.mark.parametrize(
    "program",
    [
        "time.sleep(600)",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); os.close(1); os.close(2); time.sleep(600)",
    ],
    ids=["hung", "stopped", "closed"],
)
def test_a_hung_child_is_killed_at_its_time_limit(program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """This includes one that is stopped and gets no signal; until then the log shows that it runs."""
    monkeypatch.setattr(child, "REPORT_EVERY_S", 0.0)
    with capture_logs() as lines:
        assert TrainingResult(failure="it did not end within 1s: raise retrain.timeout") == run(program, timeout="1s")
    assert {"training runs"} == {line["event"] for line in lines}


def test_a_child_that_reads_nothing_holds_nobody_up() -> None:
    """A request that does not fit into the pipe waits, and the limit holds."""
    settings = load_settings(retrain={"timeout": "1s"})
    names = [f"series-{n:06}" for n in range(20_000)]
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    assert "1s" in child.run(settings, 0, names, command=command).failure
    command = (sys.executable, "-c", f"import json\nassert 20_000 == len(json.loads(input())['series'])\n{FINISH}")
    assert child.run(settings, 0, names, command=command).summary


def test_a_child_that_takes_too_much_memory_is_killed() -> None:
    """Its resident megabytes count."""
    outcome = run("held = b'x' * 400_000_000\ntime.sleep(600)", memory="256MB")
    assert outcome.failure.startswith("it took ")
    assert outcome.failure.endswith(" MB, more than 256: raise retrain.memory")


def test_a_child_is_killed_as_soon_as_it_is_told_to_stop(tmp_path: Path) -> None:
    """Within a moment, with all that it has started."""
    file = tmp_path / "pids"
    program = f"""
import subprocess
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(file)!r} + "~", "w").write(f"{{os.getpid()}} {{below.pid}}")
os.rename({str(file)!r} + "~", {str(file)!r})
time.sleep(600)
"""
    outcome = run(program, cancelled=file.exists)
    assert outcome.cancelled
    assert all(gone(int(pid)) for pid in file.read_text().split())


def test_what_a_crashed_child_has_started_goes_with_it(tmp_path: Path) -> None:
    """No process trains on unnoticed, or keeps our pipes open."""
    file = tmp_path / "pid"
    program = f"""
import subprocess
below = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
open({str(file)!r}, "w").write(str(below.pid))
os.kill(os.getpid(), signal.SIGKILL)
"""
    # it does not wait for processes that hold the pipes
    assert TrainingResult(failure="it was ended by SIGKILL") == run(program)
    assert gone(int(file.read_text()))


def test_a_child_dies_with_a_parent_that_was_killed(settings: Settings, tmp_path: Path) -> None:
    """The end of its standard input ends it."""
    file = tmp_path / "pid"
    program = f"open({str(file)!r}, 'w').write(str(os.getpid()))\nsys.stdin.read()\n"
    parent = f"""
from tidecast.settings import load_settings
from worker.retraining import child
child.run(load_settings(), 0, command={stand_in(program)!r})
"""
    environment = os.environ | {"TIDECAST_STORE": str(settings.store), "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen([sys.executable, "-c", parent], env=environment) as process:
        while not file.exists() or not file.read_text():
            time.sleep(0.02)
        process.kill()
    assert gone(int(file.read_text()))


def test_without_tensorflow_retraining_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without the trainer cannot train."""
    monkeypatch.setattr("tidecast.schedule_choice.find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install 'tidecast\[train\]'"):
        child.check_installed()


def test_signals_without_a_name_are_numbers() -> None:
    """Real-time signals do not have names."""
    assert "it was ended by signal 40" == run("os.kill(os.getpid(), 40)").failure
