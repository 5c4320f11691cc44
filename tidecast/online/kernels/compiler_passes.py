"""The passes of numba that compile the kernels, in two thirds of the time that its usual passes take.

Numba optimises each function and makes machine code of it, and then does both again within each caller. A part is
called only by compiled functions, so here no machine code is made of a part on its own. Passes for closures, array
expressions and branches on types are left out, because the kernels contain none of these.
"""

from typing import Any

from tidecast.compiler import compiler_imports

with compiler_imports():
    from numba import _dynfunc  # type: ignore[attr-defined] # a module in C
    from numba.core import typed_passes, untyped_passes
    from numba.core.codegen import JITCodeLibrary
    from numba.core.compiler import CompilerBase
    from numba.core.compiler_machinery import PassManager, register_pass
    from numba.core.targetconfig import TargetConfig

_BEFORE_LOWERING = (
    untyped_passes.TranslateByteCode,
    untyped_passes.FixupArgs,
    untyped_passes.IRProcessing,
    untyped_passes.GenericRewrites,
    untyped_passes.InlineInlinables,
    untyped_passes.ReconstructSSA,
    typed_passes.NopythonTypeInference,
    typed_passes.PreLowerStripPhis,
    typed_passes.IRLegalization,
)

_equal_in_all = TargetConfig.__eq__


def _equal(flags: TargetConfig, other: object) -> bool:
    """Return whether flags of the compiler are equal; the usual comparison looks up each one, millions of times."""
    same = isinstance(other, type(flags)) and flags._values == other._values
    return same or bool(_equal_in_all(flags, other))  # type: ignore[no-untyped-call] # it has no types


def _hash(flags: TargetConfig) -> int:
    """Return a hash of flags; numba's is also one of their names alone."""
    return hash(type(flags))


setattr(TargetConfig, "__eq__", _equal)  # noqa: B010 - a method of numba, which saves a twentieth of the time
setattr(TargetConfig, "__hash__", _hash)  # noqa: B010 - likewise


class KernelCompiler(CompilerBase):
    """The compiler of functions that Python calls."""

    lowering: Any = typed_passes.NativeLowering

    def define_pipelines(self) -> list[PassManager]:
        """Return the passes in their order, as one pipeline."""
        passes = PassManager("kernel")
        for kind in (*_BEFORE_LOWERING, self.lowering, typed_passes.NoPythonBackend):
            passes.add_pass(kind, kind.name())
        passes.finalize()
        return [passes]


class _FusedLibrary(JITCodeLibrary):
    """The code of a part; its machine code is made only within its callers."""

    def _finalize_final_module(self) -> None:
        self._finalized = True


class _ExactLibrary(_FusedLibrary):
    """The same without fused products: the order of optimisation cannot change its results, so it happens once."""

    def _optimize_final_module(self) -> None:
        pass


@register_pass(mutates_CFG=True, analysis_only=False)
class _PartLowering(typed_passes.NativeLowering):
    _name = "part_lowering"

    def run_pass(self, state: Any) -> bool:
        """Write a part's LLVM code, and register it for its callers."""
        library: Any = _FusedLibrary if state.flags.fastmath else _ExactLibrary
        state.library = library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.flags = state.flags.copy()
        state.flags.no_compile = True
        super().run_pass(state)  # type: ignore[no-untyped-call] # it has no types
        lowered = state.cr
        libraries = [state.library]
        identity = _dynfunc.make_function(
            lowered.fndesc.lookup_module(), lowered.fndesc.qualname, "", 0, lowered.env, tuple(libraries)
        )
        state.targetctx.insert_user_function(identity, lowered.fndesc, libraries)
        state.cr = lowered._replace(cfunc=identity)
        return True


class PartCompiler(KernelCompiler):
    """The compiler of functions that only compiled functions call."""

    lowering = _PartLowering
