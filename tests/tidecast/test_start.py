"""Our programs import our own modules, whatever files of the same names lie where they are started."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from redis import Redis

from tests.harness.namesakes import OTHERS, OURS, lay_traps
from tests.harness.processes import TIDECAST
from tidecast.settings import Settings
from tidecast.start import child_command
from worker.retraining import child
from worker.retraining.child import RunReport

ROOT = Path(__file__).resolve().parents[2]
# Python itself imports these before it runs our first line: only Python could help there.
BEFORE_A_MODULE = {"contextlib.py", "types.py"}
BEFORE_A_COMMAND = {"types.py"}


def ran(command: Iterable[str | Path], folder: Path, **variables: str) -> str:
    """Run a command in a folder, to a good end; return its output."""
    environment = os.environ | {"TIDECAST_REDIS_URL": "redis://127.0.0.1:1"} | variables
    done = subprocess.run([*command], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert 0 == done.returncode, done.stderr
    assert not list(folder.rglob("imported"))
    return done.stdout


@pytest.mark.parametrize("words", [("worker", "--check"), ("train", "--help"), ("dashboard", "--help")], ids=" ".join)
def test_the_command_is_ours_in_a_directory_full_of_namesakes(tmp_path: Path, words: tuple[str, ...]) -> None:
    """A project has a `worker.py` or a `trainer/` of its own, and its author starts Tidecast in it."""
    lay_traps(tmp_path, (*OURS, *OTHERS))
    assert ran((TIDECAST, *words), tmp_path)


def test_the_command_is_ours_where_pythonpath_leads_to_namesakes(tmp_path: Path) -> None:
    """PYTHONPATH precedes the standard library and the installed packages; an empty entry is the directory."""
    names = {*OURS, *OTHERS} - BEFORE_A_COMMAND - {"tidecast.py"}
    (tmp_path / "lib").mkdir()
    for place in ("", "lib"):
        lay_traps(tmp_path / place, names)
    assert ran((TIDECAST, "worker", "--check"), tmp_path, PYTHONPATH=os.pathsep.join(("nowhere", "", "lib")))


def test_the_command_as_a_module_is_ours_in_a_directory_full_of_namesakes(tmp_path: Path) -> None:
    """`python -m tidecast.cli` looks in the current directory first."""
    lay_traps(tmp_path, {*OURS, *OTHERS} - BEFORE_A_MODULE - {"tidecast.py"})
    assert ran((sys.executable, "-m", "tidecast.cli", "worker", "--check"), tmp_path)


@pytest.mark.parametrize("variables", [{}, {"PYTHONPATH": "."}], ids=["directory", "PYTHONPATH"])
def test_a_program_that_we_start_is_ours_in_a_directory_full_of_namesakes(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    """The demo's processes and those of the dashboard's buttons: even a `tidecast.py` does not stand in their way."""
    lay_traps(tmp_path, {*OURS, *OTHERS} - (BEFORE_A_COMMAND if variables else set()))
    assert ran(child_command("tidecast.cli", "worker", "--check"), tmp_path, **variables)


def test_a_program_that_we_start_is_known_as_ours(tmp_path: Path) -> None:
    """Our modules look for our finder: a program of ours imports Keras without packages that it does not need."""
    (tmp_path / "probe.py").write_text(
        "import sys\nfrom tidecast.start import OwnPackages as ours\nprint(ours in sys.meta_path)"
    )
    assert "True\n" == ran(child_command("probe"), tmp_path, PYTHONPATH=".")


def test_what_a_program_of_ours_starts_does_not_look_in_the_directory_either(tmp_path: Path) -> None:
    """A library may start a process of its own, as multiprocessing does."""
    lay_traps(tmp_path, OTHERS)
    program = (
        "from tidecast.start import prefer_own_modules as first; first()\n"
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import json; print(1)'], check=True)"
    )
    assert "1\n" == ran((sys.executable, "-P", "-c", program), tmp_path)


@pytest.mark.keras
def test_the_child_that_retrains_is_ours_in_a_directory_full_of_namesakes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings, redis: Redis
) -> None:
    """It was started as `-m trainer.retrain.main`, and a folder `trainer/` there was run in its place."""
    redis.ping()
    lay_traps(tmp_path, (*OURS, *OTHERS))
    (tmp_path / "lib").mkdir()
    lay_traps(tmp_path / "lib", {*OURS, *OTHERS} - BEFORE_A_COMMAND)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "lib")
    haste = settings.model_copy(update={"retrain": settings.retrain.model_copy(update={"low_priority": False})})
    outcome = child.run(haste, 0)
    assert isinstance(outcome.summary, RunReport), outcome.failure
    assert not list(tmp_path.rglob("imported"))


@pytest.mark.parametrize(("variables", "threads"), [({}, "1"), ({"OPENBLAS_NUM_THREADS": "2"}, "2")])
def test_a_command_starts_no_further_threads_of_blas_unless_the_user_wants_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], threads: str
) -> None:
    """Each spins for a tenth of a second at first; the number is set before NumPy reads it."""
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    program = (
        "import os, sys; from tidecast import start; sys.argv = ['tidecast', 'worker', '--help']\n"
        "assert 'numpy' not in sys.modules\n"
        "try: start.main()\nexcept SystemExit: pass\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'], 'numpy' in sys.modules)"
    )
    printed = ran((sys.executable, "-c", program), tmp_path, **variables)
    assert f"{threads} True" == printed.splitlines()[-1]


def test_the_dashboards_button_starts_our_own_command() -> None:
    """Like every other child process: one package alone starts programs and names the interpreter."""
    packages = ("tidecast", "worker", "trainer", "dashboard")
    files = [path for package in packages for path in (ROOT / package).rglob("*.py")]
    naming = {path.relative_to(ROOT).as_posix() for path in files if names_the_interpreter(path.read_text())}
    assert {"tidecast/start.py"} == naming


@pytest.mark.parametrize("source", ["import sys\nsys.executable", "from sys import executable"])
def test_a_module_that_names_the_interpreter_would_be_noticed(source: str) -> None:
    """The check above sees both ways."""
    assert names_the_interpreter(source)


def names_the_interpreter(source: str) -> bool:
    """Return whether a module looks at `sys.executable`."""
    if "executable" not in source:  # parsing takes longer
        return False
    nodes = list(ast.walk(ast.parse(source)))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return "executable" in attributes | imported
