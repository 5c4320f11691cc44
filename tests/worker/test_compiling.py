"""Compiling before the first reading waits for it: it is logged, shared with a helper, and independent of its
failures.
"""

import ast
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from numba.core.dispatcher import Dispatcher
from redis import Redis

from tests.harness.patience import PATIENCE_S
from tests.worker.harness import add, new_worker
from tidecast.code_cache import NotKeptError, _only_loading
from tidecast.online import kernels
from tidecast.online.series import state_encoder
from tidecast.settings import Settings
from worker import compiling

COMPILED = (Path(state_encoder.__file__), *Path(kernels.__file__).parent.glob("*.py"))
Made = Callable[[], None]


class Steps:
    """Steps that note in which order they compile, and how often; those of `on_disk` load instead."""

    def __init__(self) -> None:
        self.compiled: list[str] = []
        self.on_disk: set[str] = set()

    def __call__(self, name: str) -> Made:
        """Return a step of this name."""

        def step() -> None:
            if name in self.on_disk or name in self.compiled:
                return
            if _only_loading.get():
                raise NotKeptError(name)
            self.compiled.append(name)

        return step

    def announce(self) -> None:
        """Note that compiling was announced."""
        self.compiled.append("announced")


@pytest.fixture
def steps() -> Steps:
    """No step is on disk yet."""
    return Steps()


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """The helpers that were started, on a machine with two cores."""
    started: list[subprocess.Popen[bytes]] = []

    class Noted(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            started.append(self)

    monkeypatch.setattr(compiling, "cores", lambda: 2)
    monkeypatch.setattr(compiling, "can_keep", lambda: True)
    monkeypatch.setattr(compiling.subprocess, "Popen", Noted)
    yield started
    assert all(helper.returncode is not None for helper in started), "a zombie is left"


def run_as_helper(monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Let a few lines stand in for the helper, which takes seconds to start and to compile."""
    monkeypatch.setattr(compiling, "child_command", lambda _module: [sys.executable, "-S", "-c", program])


def test_nothing_is_said_or_started_where_all_is_on_disk(steps: Steps, helpers: list[subprocess.Popen[bytes]]) -> None:
    """A later start loads, and is ready in a second."""
    steps.on_disk = {"a", "b"}
    compiling.load_or_compile([steps("a")], [steps("b")], steps.announce)
    assert [] == steps.compiled
    assert [] == helpers


def test_compiling_is_announced_before_it_begins(
    steps: Steps, helpers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise an operator sees a worker that does nothing for ten seconds."""
    run_as_helper(monkeypatch, "")
    compiling.load_or_compile([steps("a"), steps("b")], [steps("c")], steps.announce)
    assert ["announced", "a", "b", "c"] == steps.compiled
    assert [0] == [helper.returncode for helper in helpers]


@pytest.mark.parametrize(("on_disk", "compiled"), [({"a"}, ["announced", "b"]), ({"b"}, ["announced", "a"])])
def test_no_helper_is_started_for_one_share(
    steps: Steps, helpers: list[subprocess.Popen[bytes]], on_disk: set[str], compiled: list[str]
) -> None:
    """If a part is missing in one share, such as one damaged file, it is compiled sooner here."""
    steps.on_disk = on_disk
    compiling.load_or_compile([steps("a")], [steps("b")], steps.announce)
    assert compiled == steps.compiled
    assert [] == helpers


@pytest.mark.parametrize(("name", "value"), [("cores", 1), ("can_keep", False)])
def test_no_helper_is_started_where_it_is_of_no_use(
    steps: Steps, helpers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    """With one core it takes turns with us, and without a place for its code it works for nothing."""
    monkeypatch.setattr(compiling, name, lambda: value)
    compiling.load_or_compile([steps("a")], [steps("b")], steps.announce)
    assert ["announced", "a", "b"] == steps.compiled
    assert [] == helpers


@pytest.mark.parametrize(
    "program",
    [
        "raise SystemExit(3)",
        "import os; os.kill(os.getpid(), 9)",
        "import os; os.abort()",
        "import time; time.sleep(999)",
    ],
    ids=["fails", "killed", "aborted", "hangs"],
)
def test_a_helper_that_fails_costs_time_and_nothing_else(
    steps: Steps, helpers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, program: str
) -> None:
    """Its share is compiled here, and no process is left."""
    monkeypatch.setattr(compiling, "PATIENCE_S", 0.01 if "sleep" in program else PATIENCE_S)
    run_as_helper(monkeypatch, program)
    compiling.load_or_compile([steps("a")], [steps("b")], steps.announce)
    assert ["announced", "a", "b"] == steps.compiled
    assert 1 == len(helpers)


def test_a_helper_that_cannot_be_started_is_done_without(
    steps: Steps, monkeypatch: pytest.MonkeyPatch, helpers: list[subprocess.Popen[bytes]]
) -> None:
    """A limit of processes or of memory does not keep the worker from starting."""
    monkeypatch.setattr(compiling, "child_command", lambda _module: ["/does/not/exist"])
    compiling.load_or_compile([steps("a")], [steps("b")], steps.announce)
    assert ["announced", "a", "b"] == steps.compiled
    assert [] == helpers


def test_an_error_while_compiling_ends_the_helper(
    steps: Steps, helpers: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is raised at once, not after the helper has finished."""

    def fail() -> None:
        if _only_loading.get():
            raise NotKeptError
        raise MemoryError

    run_as_helper(monkeypatch, "import time; time.sleep(999)")
    with pytest.raises(MemoryError):
        compiling.load_or_compile([fail], [steps("b")], steps.announce)
    assert [-9] == [helper.returncode for helper in helpers]


def test_the_helper_ends_with_the_process_that_waits_for_it() -> None:
    """However that ends: a killed worker leaves nothing that computes on."""
    program = "import time; from worker.compiling import compile_share; compile_share([lambda: time.sleep(999)])"
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[2]) as helper:
        assert helper.stdin is not None
        helper.stdin.close()
        assert 1 == helper.wait(PATIENCE_S)


def test_the_first_readings_wait_for_no_compiler(settings: Settings, redis: Redis) -> None:
    """Another variant of a function, for a read-only array instead of a writable one, takes seconds to compile."""
    compiling.warm()
    before = _variants()
    worker = new_worker(settings)
    add(redis, 1, 2)
    while worker.step(0.0) != 0:
        pass
    assert before == _variants()


def _variants() -> dict[str, list[Any]]:
    """Return the signatures of each compiled function for which it was compiled or loaded so far."""
    modules = [
        pkgutil.resolve_name(f"{kernels.__name__}.{module.name}") for module in pkgutil.iter_modules(kernels.__path__)
    ]
    functions: list[Any] = [function for module in (*modules, state_encoder) for function in vars(module).values()]
    return {f.__name__: list(f.signatures) for f in functions if isinstance(f, Dispatcher)}


def test_no_compiled_function_brings_seconds_of_library_code_with_it() -> None:
    """To copy one slice into another, numba compiles an error message about shapes; `np.sort` is long as well."""
    functions = [node for file in COMPILED for node in ast.parse(file.read_text()).body if _is_compiled(node)]
    assert functions
    assert [] == [ast.unparse(node) for function in functions for node in ast.walk(function) if _takes_long(node)]


def _is_compiled(node: ast.stmt) -> bool:
    marks = {"compiled", "compiled_exactly", "part", "part_exactly", "inlined"}
    return isinstance(node, ast.FunctionDef) and any(ast.unparse(mark) in marks for mark in node.decorator_list)


def _takes_long(node: ast.AST) -> bool:
    if isinstance(node, ast.Assign):
        into_slice = any(isinstance(part, ast.Slice) for target in node.targets for part in ast.walk(target))
        return into_slice and not isinstance(node.value, ast.Constant | ast.Attribute)
    return isinstance(node, ast.Call) and ast.unparse(node.func) in {"np.sort", "np.median", "sorted", "str", "repr"}


def test_a_start_that_finds_all_code_on_disk_does_not_complete_the_compiler() -> None:
    """That would take a tenth of a second and 35 MB more."""
    compiling.warm()
    program = "import sys, worker.compiling as c; c.warm(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "numba.np.linalg" not in done.stdout.split()
