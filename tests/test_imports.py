"""The directions of imports between packages, and the imports allowed in the pure ones."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

from tests.harness.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = {"tidecast": {"tidecast"}} | {room: {room, "tidecast"} for room in ("worker", "trainer", "dashboard")}
# The lowest first. A package imports from itself, and otherwise only from lower levels.
LEVELS: tuple[set[str], ...] = (
    {"tidecast"},
    {"tidecast.wire"},
    {"tidecast.models"},
    {"tidecast.online", "tidecast.connection", "tidecast.files", "tidecast.pictures"},
    {"tidecast.client", "tidecast.own_experts"},
    {"worker", "trainer"},
    {"tidecast.tools", "tidecast.doctor", "dashboard"},
    {"tidecast.cli"},
)
LEVEL = {package: level for level, packages in enumerate(LEVELS) for package in packages}
# The Python interface and the entry point of the command stand at the root, and lead upward.
FRONTS = {"tidecast/__init__.py", "tidecast/start.py"}
# Tools, commands and checks know all programs, and import them only inside functions.
DEFERRING = ("tidecast/tools/", "tidecast/cli/", "tidecast/doctor/")
PURE = ("tidecast/online/", "tidecast/models/", "tidecast/pictures/")
IMPURE = {
    "asyncio",
    "datetime",
    "logging",
    "os",
    "pathlib",
    "random",
    "redis",
    "socket",
    "structlog",
    "subprocess",
    "time",
}
# They may use `PATHS`.
OF_FILES = {"tidecast/models/store.py", "tidecast/models/bucket/mirror.py"}
OF_FILES |= {
    f"tidecast/models/storage/{name}.py"
    for name in ("file_names", "model_file", "moves_log", "served", "training_runs")
}
PATHS = {"os", "pathlib", "time"}
FRAMES = "tidecast/tools/frames/"
# They cost seconds and hundreds of megabytes.
HEAVY = {"tensorflow", "keras", "keras_tuner", "pandas"}
ENVIRONMENT = {"environ", "environb", "getenv", "getenvb"}
OS_ENVIRONMENT = {f"os.{name}" for name in ENVIRONMENT}
MODULES = [path.relative_to(ROOT).as_posix() for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def test_every_package_of_the_wheel_is_a_room_with_rules() -> None:
    """A new package cannot slip past these tests."""
    assert set(ROOMS) == set(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"])


def test_a_module_imports_only_from_its_own_room_and_the_library() -> None:
    """The worker and the trainer never meet; the library imports neither until a command needs one."""
    wrong = {}
    for module in MODULES:
        rooms = _imports(module, top_level_only=module.startswith(DEFERRING)) & set(ROOMS)
        wrong[module] = rooms - ROOMS[module.split("/")[0]]
    assert {} == _offenders(wrong)


def test_no_import_leads_to_a_package_above_or_beside() -> None:
    """A reader of a package needs to read only those below it."""
    wrong = {}
    for module in set(MODULES) - FRONTS:
        own = _package(module.removesuffix(".py").replace("/", "."))
        imported = {_package(name) for name in _names_imported(module)} - {own}
        wrong[module] = {package for package in imported if LEVEL[package] >= LEVEL[own]}
    assert {} == _offenders(wrong)


def test_the_forecasting_core_knows_no_redis_clock_log_or_file() -> None:
    """It takes times and arrays, so that a replay and a test run it as the worker does."""
    pure = [module for module in MODULES if module.startswith(PURE)]
    wrong = {module: _imports(module) & (IMPURE - (PATHS if module in OF_FILES else set())) for module in pure}
    assert {} == _offenders(wrong)


def test_only_the_trainer_imports_tensorflow_keras_or_pandas() -> None:
    """This holds inside functions too; the functions that return frames may import pandas when they are called."""
    others = [module for module in MODULES if not module.startswith("trainer/")]
    wrong = {module: _imports(module) & HEAVY for module in others}
    for module in others:
        if module.startswith(FRAMES):
            wrong[module] -= {"pandas"} - _imports(module, top_level_only=True)
    assert {} == _offenders(wrong)


def test_outside_the_trainer_and_the_dashboard_a_plain_install_satisfies_every_import_at_the_top() -> None:
    """Without any extra, every module of the worker and of the library can be imported."""
    plain = {_normal(re.split(r"[\[<>=~! ;]", line)[0]) for line in PROJECT["project"]["dependencies"]}
    wrong = {}
    for module in [module for module in MODULES if not module.startswith(("trainer/", "dashboard/"))]:
        names = _imports(module, top_level_only=True) - set(ROOMS) - sys.stdlib_module_names
        wrong[module] = {name for name in names if not {_normal(by) for by in _providers()[name]} & plain}
    assert {} == _offenders(wrong)


def test_only_the_settings_read_the_environment() -> None:
    """A setting has one way in; to set a variable for a library or a child process is not to read one."""
    others = [module for module in MODULES if module != "tidecast/settings/load.py"]
    assert {} == _offenders({module: set(_reads_of_the_environment(_tree(module))) for module in others})


def test_a_fresh_interpreter_with_all_rooms_but_the_trainers_has_no_tensorflow() -> None:
    """Indirect imports count too; pkgutil finds the modules, so that it finds every module.

    The trainer loads it only to train a network: a report needs none, nor does a run that finds nothing to train.
    """
    program = """
import importlib, pkgutil, sys
import tidecast, worker
for room in (tidecast, worker):
    for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
        importlib.import_module(module.name)
print(*sys.modules)
import trainer.reports.report, trainer.reports.explain, trainer.main, trainer.retrain.main
print(*sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    loaded, with_trainer = (set(line.split()) for line in done.stdout.splitlines())
    assert {"tidecast.cli.main", "worker.main"} <= loaded
    assert not loaded & (HEAVY | {"trainer"})
    assert not with_trainer & {"tensorflow", "keras"}


@pytest.mark.parametrize(
    ("source", "reads"),
    [
        ("import os\nos.environ['A']", 1),
        ("import os\nos.getenv('A')", 1),
        ("from os import environ, getenv", 2),
        ("import os\ndict(os.environ)", 1),
        ("import os\nos.environ['A'] = 'b'\nos.environ.setdefault('C', 'd')", 0),
    ],
)
def test_a_read_of_the_environment_is_told_from_a_write(source: str, reads: int) -> None:
    """The check itself detects every form of reading, and allows writing."""
    assert reads == len(list(_reads_of_the_environment(ast.parse(source))))


def _offenders(wrong: Mapping[str, AbstractSet[Any]]) -> dict[str, AbstractSet[Any]]:
    """Return the modules with any fault."""
    return {module: names for module, names in wrong.items() if names}


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((ROOT / module).read_text())


@cache
def _imports(module: str, *, top_level_only: bool = False) -> frozenset[str]:
    """Return the first names of a module's imports, with or without those inside its functions."""
    return frozenset(_imported(_tree(module), module.split("/")[0], top_level_only=top_level_only))


def _imported(node: ast.AST, room: str, *, top_level_only: bool) -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name.split(".")[0] for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield room if child.level else (child.module or "").split(".")[0]
        elif not (top_level_only and _is_deferred(child)):
            yield from _imported(child, room, top_level_only=top_level_only)


def _names_imported(module: str) -> Iterator[str]:
    """Yield the full names of our modules that a module imports anywhere."""
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] in ROOMS)


def _package(name: str) -> str:
    """Return the package of a module or of a name in it, as `LEVELS` has it."""
    inner = ".".join(name.split(".")[:2])
    return inner if inner in LEVEL else name.split(".")[0]


def _is_deferred(node: ast.AST) -> bool:
    """Return whether code runs later or never: a function's body, or a block for type checkers."""
    for_types = isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    return for_types or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)


def _reads_of_the_environment(tree: ast.Module) -> Iterator[int]:
    """Return the lines that read a variable: all that name the environment but do not just assign to it."""
    writes = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
            writes.add(node.value)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = node.value.func
            if isinstance(called, ast.Attribute) and called.attr == "setdefault":
                writes.add(called.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (node.lineno for alias in node.names if alias.name in ENVIRONMENT)
        named = isinstance(node, ast.Attribute) and node.attr in ENVIRONMENT and node not in writes
        if named and ast.unparse(node) in OS_ENVIRONMENT:
            yield node.lineno


@cache  # it reads the lists of files of all that is installed: a second in each process that only collects
def _providers() -> Mapping[str, list[str]]:
    """By the name that is imported, the distributions."""
    return packages_distributions()


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
