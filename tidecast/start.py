"""Start our programs with our own modules, even if the user has files of the same names.

Python searches the directory of the script and PYTHONPATH before the installed packages. A user's `worker.py`,
`trainer/` or `json.py` there would be imported in place of ours. So the `tidecast` command begins in `main`, and a
child process runs this file as a script: `python -P start.py MODULE ARGUMENT...`.

Only `gc`, `os` and `sys` are imported at the top: Python finds them before any file of the user.
"""

import gc
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
    # Our matrices are small. Each further thread of NumPy's BLAS spins for a tenth of a second when it starts.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from tidecast import signals

    signals.end_at_once()  # before the imports of the next line, which take some time
    with LastingObjects():
        from tidecast.cli.main import main as run

    signals.begin()
    run()


class LastingObjects:
    """A block that creates lasting objects, such as modules: without collections in it, a worker starts in 0.2 s less.

    Later collections skip these objects, so that they do not delay readings.
    """

    def __enter__(self) -> None:
        """Stop collecting garbage."""
        gc.disable()

    def __exit__(self, *_exception: object) -> None:
        """Begin again, without the objects that exist now."""
        gc.freeze()
        gc.enable()


def child_command(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs one of our modules as a separate process.

    -P keeps the current directory out of the places that Python searches for modules.
    """
    return [sys.executable, "-P", os.path.abspath(__file__), module, *arguments]  # noqa: PTH100 - as above


def prefer_own_modules() -> None:
    """Search the standard library and installed packages before the user's files, and our packages only here.

    This is for our own processes. For a user's process, see `tidecast.tools.own_packages`.
    """
    _search_users_directories_last()
    if OwnPackages not in sys.meta_path:
        sys.meta_path.insert(0, OwnPackages)
    os.environ["PYTHONSAFEPATH"] = "1"  # the same as -P, for processes that a library starts


class OwnPackages:
    """The finder of our own top-level packages."""

    @staticmethod
    def find_spec(name: str, _path: object = None, _target: object = None) -> "ModuleSpec | None":
        """Return the spec of one of our packages; None for all other modules."""
        if name not in PACKAGES:
            return None
        from importlib.util import spec_from_file_location

        return spec_from_file_location(name, os.path.join(ROOT, name, "__init__.py"))  # noqa: PTH118 - as above


def _search_users_directories_last() -> None:
    """Move the directories before the standard library to the end: those of the script and of PYTHONPATH."""
    library = os.path.dirname(os.__file__)  # noqa: PTH120 - as above
    if library in sys.path:
        first = sys.path.index(library)
        sys.path[:] = sys.path[first:] + sys.path[:first]


def _run_module() -> None:
    """Run the module that the command line names, as `python -m` would."""
    prefer_own_modules()
    from runpy import run_module

    from tidecast import start  # this file again: the script's `OwnPackages` is not the one that modules import

    sys.meta_path[sys.meta_path.index(OwnPackages)] = start.OwnPackages

    module = sys.argv.pop(1)
    run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run_module()
