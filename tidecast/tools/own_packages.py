"""Use our packages in a user's process, even if the user has modules of the same names."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from types import ModuleType

from tidecast.start import ROOT, OwnPackages

NAMES = ("worker", "trainer")


class _Swap:
    """A swap of modules in `sys.modules`: ours during a call of ours, the user's between two calls."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls = 0  # active calls in all threads
        self._names: Sequence[str] = ()  # names that the user's modules have too
        self._users: dict[str, ModuleType] = {}
        self._own: dict[str, ModuleType] = {}

    def begin(self) -> None:
        """Install our modules, unless another call has done so."""
        with self._lock:
            self._calls += 1
            if self._calls > 1:
                return
            self._names = [name for name in NAMES if not _is_ours(name)]
            if self._names:
                self._users = _taken_from(sys.modules, self._names)
                sys.modules.update(_taken_from(self._own, self._names))
                sys.meta_path.insert(0, OwnPackages)

    def end(self) -> None:
        """Restore the user's modules, unless another call is active."""
        with self._lock:
            self._calls -= 1
            if self._calls or not self._names:
                return
            sys.meta_path.remove(OwnPackages)
            self._own = _taken_from(sys.modules, self._names)
            sys.modules.update(_taken_from(self._users, self._names))


_swap = _Swap()


@contextmanager
def own_packages() -> Iterator[None]:
    """Make `import worker` and `import trainer` within the block import our packages.

    If the user has modules of these names, they are set aside until the end of the block. Meanwhile another thread that
    imports them for the first time gets ours. Otherwise nothing changes.
    """
    _swap.begin()
    try:
        yield
    finally:
        _swap.end()


def _is_ours(name: str) -> bool:
    """Return whether the package of this name, imported or to be imported, is ours."""
    if name in sys.modules:
        origin = getattr(sys.modules[name], "__file__", None)
    else:
        spec = find_spec(name)
        origin = spec.origin if spec else None
    return origin is not None and Path(origin).resolve() == Path(ROOT, name, "__init__.py").resolve()


def _taken_from(modules: dict[str, ModuleType], names: Sequence[str]) -> dict[str, ModuleType]:
    """Remove the packages of these names with all their submodules, and return them."""
    chosen = [key for key in list(modules) if key.partition(".")[0] in names]
    return {key: modules.pop(key) for key in chosen}
