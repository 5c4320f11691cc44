"""Let a call of ours in a user's process use our packages, even where the user has modules of the same names."""

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
    """The modules that are set aside: the user's during a call of ours, and ours between two calls."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._calls = 0  # under way, in all threads
        self._names: Sequence[str] = ()  # that mean other modules to the user
        self._users: dict[str, ModuleType] = {}
        self._own: dict[str, ModuleType] = {}

    def begin(self) -> None:
        """Give our modules their names, unless another call has done so."""
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
        """Give the names back to the user's modules, unless another call is under way."""
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
    """Let `import worker` and `import trainer` within the block mean our packages.

    Where the user has no modules of these names, nothing changes. Otherwise the user's are set aside until the end of
    the block. Meanwhile another thread that imports them for the first time would get ours.
    """
    _swap.begin()
    try:
        yield
    finally:
        _swap.end()


def _is_ours(name: str) -> bool:
    """Whether a package of this name is ours: the one imported, or else the one that Python would import."""
    if name in sys.modules:
        origin = getattr(sys.modules[name], "__file__", None)
    else:
        spec = find_spec(name)
        origin = spec.origin if spec else None
    return origin is not None and Path(origin).resolve() == Path(ROOT, name, "__init__.py").resolve()


def _taken_from(modules: dict[str, ModuleType], names: Sequence[str]) -> dict[str, ModuleType]:
    """Remove the packages of these names with all their modules, and return them."""
    chosen = [key for key in list(modules) if key.partition(".")[0] in names]
    return {key: modules.pop(key) for key in chosen}
