"""Experts of the users' own in a real child process: their answers, and what happens when they fail."""

import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from tests.harness.patience import until
from tests.worker.own_experts.harness import EXPERTS_FILE, source_settings
from tidecast.models.own_model import OwnModel
from tidecast.online.own_experts import OwnCall, OwnFailure
from worker.own_experts.metrics import Usage
from worker.own_experts.pool import PAUSES_S, START_AGAIN_S, ExpertPool


class Now:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.s


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with good and bad experts."""
    path = tmp_path / "experts.py"
    path.write_text(EXPERTS_FILE)
    return path


@pytest.fixture
def now() -> Now:
    """Return a clock."""
    return Now()


@pytest.fixture
def pool(file: Path, now: Now) -> Iterator[ExpertPool]:
    """Return a pool that waits long for each answer, since the machine may be busy."""
    pool = ExpertPool(source_settings(file, "30s"), Usage(), now)
    yield pool
    pool.close()


def call(file: Path, name: str, number: int = 1, values: tuple[float, ...] = (1.0, 2.0)) -> OwnCall:
    """Return a call of an expert of the file with one window."""
    return OwnCall(f"{name}-{number}", 1, OwnModel(f"{file}:{name}", 2, b""), np.array(values).reshape(1, 2, 1))


def answered(pool: ExpertPool, *calls: OwnCall) -> tuple[list[float], list[OwnFailure]]:
    """Return the first answers or failures once the process is ready and the experts are loaded."""
    failures: list[OwnFailure] = []
    answers: list[float] = []

    def has_answered() -> bool:
        forecasts, failed = pool.forecast(calls)
        failures.extend(failed)
        answers[:] = [float(forecast[0]) for forecast in forecasts]
        known = {failure.series for failure in failures}
        return all(np.isfinite(answer) or each.series in known for answer, each in zip(answers, calls, strict=True))

    until(has_answered)
    return answers, failures


def test_experts_answer_from_their_newest_rows_in_a_process_that_imports_little(pool: ExpertPool, file: Path) -> None:
    """Each series has its own expert, and all answer in one call. The process needs no settings and no log."""
    twice = call(file, "Twice"), call(file, "Twice", 2, (4.0, 5.0))
    assert ([4.0, 10.0, 0.0], []) == answered(pool, *twice, call(file, "Imports"))
    assert pool.usage.calls >= 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Raises", "ValueError: no answer"),
        ("Nan", "returned NaN"),
        ("Hungry", "MemoryError"),
        ("Dies", "the process of its expert ended with 3"),
        ("Lingers", "the process of its expert does not answer any more"),
        ("Missing", "has no class or function 'Missing'"),
    ],
)
def test_an_expert_that_fails_is_left_out_for_a_while_and_the_others_answer(
    pool: ExpertPool, file: Path, now: Now, name: str, reason: str
) -> None:
    """Its failure has a reason; after the pause it is tried again, and the next pause is longer."""
    good = call(file, "Twice")
    bad = call(file, name)
    _, failures = answered(pool, bad, good)
    assert reason in failures[0].reason
    assert "1m" in failures[0].reason
    (forecasts, more) = pool.forecast([bad, good])
    assert np.isnan(forecasts[0]).all()
    assert more == []
    assert ([4.0], []) == answered(pool, good)
    now.s += PAUSES_S[0]
    _, failures = answered(pool, bad)
    assert "2m" in failures[0].reason


def test_an_expert_that_hangs_costs_its_patience_once(file: Path, now: Now) -> None:
    """Its process is killed; the others answer in a new one."""
    pool = ExpertPool(source_settings(file, "50ms"), Usage(), now)
    try:
        hanging = call(file, "Hangs")
        _, failures = answered(pool, hanging)
        assert "took longer than 50ms" in failures[0].reason
        assert np.isnan(pool.forecast([hanging])[0][0]).all()
    finally:
        pool.close()


def test_an_expert_can_learn_from_each_reading(pool: ExpertPool, file: Path) -> None:
    """`update` gets every window before its forecast."""
    counting = call(file, "Counts")
    (first,), _ = answered(pool, counting)
    twice = OwnCall(counting.series, 1, counting.model, np.ones((2, 2, 1)))
    assert [[first + 1, first + 2]] == [forecast.tolist() for forecast in pool.forecast([twice])[0]]


def test_a_new_version_is_loaded_anew(pool: ExpertPool, file: Path) -> None:
    """The former version does not answer for it."""
    first = call(file, "Counts")
    assert answered(pool, first)[0] == [1.0]
    assert pool.forecast([first])[0][0].tolist() == [2.0]
    assert answered(pool, OwnCall(first.series, 2, first.model, first.windows))[0] == [1.0]


def test_experts_for_which_a_batch_has_no_time_are_counted(file: Path) -> None:
    """They are not called, and the metrics and the log show how many."""

    class Slow(Now):
        """A clock that moves with each look once experts have answered."""

        step_s = 0.0

        def __call__(self) -> float:
            self.s += self.step_s
            return self.s

    clock = Slow()
    pool = ExpertPool(source_settings(file, "30s"), Usage(), clock)
    try:
        calls = [call(file, "Twice", 1), call(file, "Twice", 2)]
        answered(pool, *calls)
        clock.step_s = 61.0
        assert np.isnan(pool.forecast(calls)[0]).all()
        assert pool.usage.skipped == 2
    finally:
        pool.close()


def test_only_code_that_the_settings_name_is_run(pool: ExpertPool, file: Path) -> None:
    """A model file from elsewhere cannot bring code of its own."""
    foreign = OwnCall("Twice-1", 1, OwnModel(f"{file}:Prints", 2, b""), np.ones((1, 2, 1)))
    _, failures = pool.forecast([foreign])
    assert "which the settings do not name" in failures[0].reason


def test_what_an_expert_prints_does_not_disturb_the_answers(pool: ExpertPool, file: Path) -> None:
    """It goes to the log."""
    assert answered(pool, call(file, "Prints"))[0] == [4.0]


def test_a_killed_process_is_started_again(pool: ExpertPool, file: Path) -> None:
    """The expert that was called counts as failed; the others answer in a new process."""
    answered(pool, call(file, "Twice"))
    child = pool._process
    assert child is not None
    os.kill(child.process.pid, signal.SIGKILL)
    child.process.wait()
    _, failures = answered(pool, call(file, "Twice"))
    assert "ended with -9" in failures[0].reason
    assert answered(pool, call(file, "Twice", 2))[0] == [4.0]


def test_experts_of_former_series_do_not_take_the_memory_for_ever(pool: ExpertPool, file: Path, now: Now) -> None:
    """Series come and go, and the process keeps their experts: once they fill it, a new one begins without them."""
    for number in range(1, 20):
        _, failures = answered(pool, call(file, "Large", number))
        if failures:
            break
    assert "MemoryError" in failures[0].reason
    now.s += PAUSES_S[0]
    assert ([4.0], []) == answered(pool, call(file, "Large", number))


def test_a_process_that_is_stopped_does_not_stop_the_worker(pool: ExpertPool, file: Path) -> None:
    """It takes no message that is larger than the socket's buffer: it is killed, and the others answer in a new one."""
    answered(pool, call(file, "Twice"))
    child = pool._process
    assert child is not None
    os.kill(child.process.pid, signal.SIGSTOP)
    large = OwnCall("Twice-1", 1, call(file, "Twice").model, np.ones((200_000, 2, 1)))
    _, failures = pool.forecast([large])
    assert "does not answer any more" in failures[0].reason
    assert answered(pool, call(file, "Twice", 2))[0] == [4.0]


@pytest.mark.parametrize("whole_worker", [False, True])
def test_the_processes_that_an_expert_has_started_end_with_its_own(
    pool: ExpertPool, file: Path, whole_worker: bool
) -> None:
    """Otherwise each restart would leave some behind; a worker that is killed closes nothing but the pipe."""
    ([number], _) = answered(pool, call(file, "Starts"))
    child = pool._process
    assert child is not None
    if whole_worker:
        assert child.process.stdin
        child.process.stdin.close()
    else:
        pool.close()
    until(lambda: has_ended(int(number)))


def has_ended(number: int) -> bool:
    """Return whether a process has ended; nobody may have waited for it."""
    stat = Path(f"/proc/{number}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_process_that_cannot_be_started_costs_only_the_own_experts(
    pool: ExpertPool, file: Path, now: Now, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine may have no memory or process left: it is tried again later, and the batch is answered without."""

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as full:
        full.setattr(subprocess, "Popen", refuse)
        with capture_logs() as lines:
            for _ in range(2):
                (forecasts, failures) = pool.forecast([call(file, "Twice")])
                assert np.isnan(forecasts[0]).all()
                assert failures == []
        assert [line["event"] for line in lines] == ["the process of own experts does not start"]
    now.s += START_AGAIN_S
    assert answered(pool, call(file, "Twice"))[0] == [4.0]
