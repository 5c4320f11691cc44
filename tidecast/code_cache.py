"""Keep compiled functions on disk, so that each is compiled once on a machine.

A file holds one function, for one signature and one processor. Numba's own cache would pass damaged machine code to
LLVM, which then ends the process. Its index, shared by all processors, can name the code of another processor when two
processes write at once. So a file here names its processor, and has a digest that is checked before the file is used.
"""

import inspect
import logging
import pickle
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

from tidecast.compiler import compiler_imports, complete

with compiler_imports():
    import llvmlite
    import numba
    from llvmlite import binding
    from numba.core import caching, config, serialize
    from numba.core.compiler import CompileResult
    from numba.core.runtime import _nrt_python  # type: ignore[attr-defined] # a module in C
    from numba.misc.appdirs import AppDirs

MAGIC = b"tidecast code 1\n"
DIGEST = 32  # bytes of a SHA-256
HEAD = len(MAGIC) + 2 * DIGEST  # the stamp identifies the compiled source, the digest covers all but itself
_PACKAGE = Path(__file__).parent
_KERNELS = _PACKAGE / "online" / "kernels"
# The functions and constants of these files may become part of compiled code in other files.
SOURCES = (
    *sorted(_KERNELS.rglob("*.py")),
    *(
        _PACKAGE / "models" / f"{name}.py"
        for name in ("calendar_seasons", "calendar_steps", "experts", "gross_errors", "inputs", "lstm", "time_grid")
    ),
    *sorted((_PACKAGE / "models" / "pretrained").glob("*.py")),
    _PACKAGE / "durations.py",
    _PACKAGE / "online" / "outlier_guard.py",
    _PACKAGE / "wire" / "state_format.py",
)

# Not structlog: by default it writes to standard output, where a backtest prints its results.
log = logging.getLogger(__name__)
_only_loading: ContextVar[bool] = ContextVar("only_loading", default=False)
_refused: set[Path] = set()  # folders that could not be written to; each is logged once


class NotKeptError(Exception):
    """A function is not on disk, and must not be compiled now."""


class _DamagedError(Exception):
    """A file has changed since it was written."""


@contextmanager
def only_loading() -> Iterator[None]:
    """Raise `NotKeptError` within the block if a function would have to be compiled."""
    token = _only_loading.set(True)
    try:
        yield
    finally:
        _only_loading.reset(token)


def can_keep() -> bool:
    """Return whether compiled code can be written to disk."""
    return any(_takes_files(folder) for folder in _folders(_KERNELS / "__init__.py"))


class CodeCache(caching.NullCache):
    """The cache of one function's compiled code, which numba's dispatcher reads before it compiles.

    Files are read and written in the directory NUMBA_CACHE_DIR. If that is not set, the directories are the one beside
    the source and then the user's cache. New code is written to the first directory that is writable.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._source = Path(inspect.getfile(function))
        self._name = f"{self._source.stem}.{function.__qualname__}"

    @property
    def cache_path(self) -> str:
        """Return the first directory to read from."""
        return str(_folders(self._source)[0])

    def load_overload(self, signature: object, target: Any) -> object:
        """Return the function compiled for a signature, None if it is not on disk.

        Raises:
            NotKeptError: the function is not on disk, within `only_loading`.
        """
        _name_runtime_functions()
        machine = _machine(signature, target.codegen())
        stamp = _stamp(self._source, machine)
        for folder in _folders(self._source):
            result = _loaded(folder / self._file_name(machine), stamp, target)
            if result is not None:
                return result
        if _only_loading.get():
            raise NotKeptError(self._name)
        complete(target)
        return None

    def save_overload(self, signature: object, result: Any) -> None:
        """Write a compiled function to disk, if one of the directories is writable."""
        if result.library.has_dynamic_globals:  # the code holds addresses of this process
            return
        machine = _machine(signature, result.codegen)
        data = _packed(serialize.dumps(result._reduce()), _stamp(self._source, machine))
        folders = _folders(self._source)
        for folder in folders:
            try:
                _write(folder / self._file_name(machine), data)
            except OSError as exc:
                error = exc
            else:
                return
        if folders[0] not in _refused:
            _refused.add(folders[0])
            log.warning("compiled code is not kept, the next start compiles again: %s", error)

    def _file_name(self, machine: bytes) -> str:
        return f"{self._name}.{machine.hex()[:16]}.nbc"


@cache
def _name_runtime_functions() -> None:
    """Tell LLVM the addresses of the functions of numba's runtime that loaded code calls.

    Numba does this when it completes its compiler, which takes a tenth of a second and 35 MB.
    """
    for name, address in _nrt_python.c_helpers.items():
        binding.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


def _folders(source: Path) -> list[Path]:
    """Return the directories for the compiled code of a source file, in the order of reading."""
    name = f"{source.parent.name}_{sha256(bytes(source.parent)).hexdigest()[:16]}"  # checkouts do not share code
    chosen: str = config.CACHE_DIR  # type: ignore[attr-defined] # numba sets it from the environment
    if chosen:
        return [Path(chosen, name)]
    return [source.parent / "__pycache__", Path(AppDirs("tidecast", appauthor=False).user_cache_dir, name)]


def _takes_files(folder: Path) -> bool:
    probe = folder / f"probe.{uuid4().hex[:16]}"
    try:
        _write(probe, b"")
        probe.unlink()
    except OSError:
        return False
    return True


def _machine(signature: object, codegen: Any) -> bytes:
    """Return a digest of everything that code depends on: the argument types, the versions and the processor."""
    versions = (platform.python_implementation(), platform.python_version(), numba.__version__, llvmlite.__version__)
    return sha256(repr((signature, versions, codegen.magic_tuple())).encode()).digest()


def _stamp(source: Path, machine: bytes) -> bytes:
    """Return a digest of the sources and the machine that a file of code was compiled for."""
    return sha256(b"".join(_digest_of(file) for file in (source, *SOURCES)) + machine).digest()


@cache
def _digest_of(source: Path) -> bytes:
    """Return the digest of a source, read only once: a process keeps running what it imported if the file changes."""
    try:
        return sha256(source.read_bytes()).digest()
    except OSError:  # installed without its source
        return bytes(DIGEST)


def _loaded(path: Path, stamp: bytes, target: Any) -> object:
    """Return the function in a file, None if the file is absent or unusable."""
    try:
        payload = _unpacked(path.read_bytes(), stamp)
        if payload is None:
            return None
        return CompileResult._rebuild(target, *pickle.loads(payload))  # noqa: S301 - our own file, as checked
    except (FileNotFoundError, NotADirectoryError):
        pass
    except Exception as exc:  # whatever the problem is, the function can be compiled again
        if not _only_loading.get():  # otherwise the file is read once more before compiling, and logged then
            log.warning("compiled code cannot be used and is compiled again: %s: %s", path, exc)
    return None


def _packed(payload: bytes, stamp: bytes) -> bytes:
    return MAGIC + stamp + sha256(MAGIC + stamp + payload).digest() + payload


def _unpacked(data: bytes, stamp: bytes) -> bytes | None:
    """Return the payload of a file; None if it was compiled from another source.

    Raises:
        _DamagedError: the file has changed since it was written.
    """
    front = data[: HEAD - DIGEST]
    digest = data[HEAD - DIGEST : HEAD]
    payload = data[HEAD:]
    if not front.startswith(MAGIC) or digest != sha256(front + payload).digest():
        raise _DamagedError("the file is damaged")
    return payload if front[len(MAGIC) :] == stamp else None


def _write(path: Path, data: bytes) -> None:
    """Write a file completely or not at all, and make its directory.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.tmp.{uuid4().hex[:16]}")
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink()
        raise
