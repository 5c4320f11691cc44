"""Start our programs with our own modules, whatever files of the same names the user has.

Python looks for a module in the directory of the script and in PYTHONPATH before it looks at what is installed. There
a user's `worker.py`, `trainer/` or `json.py` would be imported in place of ours. So the `tidecast` command begins in
`main`, and a child process runs this file as a script: `python -P start.py MODULE ARGUMENT...`.

Only `os` and `sys` are imported at the top: Python has imported both before it looks at any file of the user's.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib may be the user's
PACKAGES = ("tidecast", "worker", "trainer", "dashboard")


def main() -> None:
    """Run the `tidecast` command."""
    prefer_own_modules()
    from tidecast import signals

    signals.end_at_once()  # before the imports of the next line, which take a while
    from tidecast.cli.main import main as run

    signals.begin()
    run()


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs one of our modules as a process of its own.

    -P keeps the current directory out of the places where Python looks for modules.
    """
    return [sys.executable, "-P", os.path.abspath(__file__), module, *arguments]  # noqa: PTH100


def prefer_own_modules() -> None:
    """Import the standard library and what is installed before the user's files, and our packages from here alone.

    This is for a process of our own. In a user's process, see `tidecast.tools.own_packages`.
    """
    _search_users_directories_last()
    if OwnPackages not in sys.meta_path:
        sys.meta_path.insert(0, OwnPackages)
    os.environ["PYTHONSAFEPATH"] = "1"  # as -P, for the processes that a library starts


class OwnPackages:
    """A finder that knows our top-level packages, and where they are."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> "ModuleSpec | None":
        """Return where one of our packages is; None for every other module."""
        if name not in PACKAGES:
            return None
        from importlib.util import spec_from_file_location

        return spec_from_file_location(name, os.path.join(ROOT, name, "__init__.py"))  # noqa: PTH118


def _search_users_directories_last() -> None:
    """Move what stands before the standard library to the end: the script's directory and those of PYTHONPATH."""
    library = os.path.dirname(os.__file__)  # noqa: PTH120
    if library in sys.path:
        first = sys.path.index(library)
        sys.path[:] = sys.path[first:] + sys.path[:first]


def _run_module() -> None:
    """Run the module that the command line names, as `python -m` would."""
    prefer_own_modules()
    from runpy import run_module

    module = sys.argv.pop(1)
    run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run_module()
