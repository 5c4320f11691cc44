"""The decorators of compiled functions.

`tidecast/code_cache.py` keeps compiled code on disk. A change of a function's own file, or of one of its `SOURCES`,
renews that code. Constants from other files must be passed as arguments.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from tidecast.compiler import compiler_imports

with compiler_imports():
    from numba import njit
    from numba.extending import intrinsic, register_jitable

from tidecast.code_cache import CodeCache
from tidecast.online.kernels.compiler_passes import KernelCompiler, PartCompiler

Compiled = TypeVar("Compiled", bound=Callable[..., Any])

_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_FUSED: dict[str, Any] = {"fastmath": {"contract"}}  # only a product and a sum: NaN and infinity behave as in NumPy


def compiled(function: Compiled) -> Compiled:
    """Compile a function that Python calls, once for each machine; it releases the GIL, and may fuse products."""
    return _kept(function, **_FUSED)


def compiled_exactly(function: Compiled) -> Compiled:
    """Compile a function that Python calls without fusing: its results equal those of Python bit for bit."""
    return _kept(function)


def part(function: Compiled) -> Compiled:
    """Compile a function as `compiled` does, if only compiled functions call it.

    It is faster to compile, and on disk it exists only within its callers. A call from Python runs it uncompiled.
    """
    return _part(function, **_FUSED)


def part_exactly(function: Compiled) -> Compiled:
    """Compile a function as `part` does, without fusing."""
    return _part(function)


def inlined(function: Compiled) -> Compiled:
    """Inline a function into its only caller before that is compiled, so that it is not compiled on its own too."""
    return cast("Compiled", njit(**_OPTIONS, inline="always")(function))


def emitted(define: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a function that writes LLVM code into a compiled function."""
    return cast("Callable[..., Any]", intrinsic(define))


def _kept(function: Compiled, **options: Any) -> Compiled:
    dispatcher: Any = njit(**_OPTIONS, **options, pipeline_class=KernelCompiler)(function)
    dispatcher._cache = CodeCache(function)
    return cast("Compiled", dispatcher)


def _part(function: Compiled, **options: Any) -> Compiled:
    registered: Compiled = register_jitable(**_OPTIONS, **options, pipeline_class=PartCompiler)(function)
    return registered
