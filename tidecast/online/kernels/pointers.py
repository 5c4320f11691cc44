"""Arrays by their address: how one compiled loop reaches what thousands of objects own.

Each series owns its numbers, in arrays of its own. A batch names them by address, so that nothing has to be gathered
before and scattered after. An address is good only while its array lives and is not replaced: whoever makes a list of
addresses keeps the owners until the loop has ended.
"""

from collections.abc import Callable
from typing import Any, cast

from numpy.typing import NDArray

from tidecast.compiler import compiler_imports

with compiler_imports():
    import numba
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic

carray = numba.carray  # type: ignore[attr-defined] # an array at an address, in compiled code


def address_of(array: NDArray[Any]) -> int:
    """Where an array's first element lies; it must be contiguous."""
    if not array.flags.c_contiguous:
        raise ValueError("an array that is read by its address must be contiguous")
    return int(array.ctypes.data)


def _pointer_to(kind: Any) -> Callable[[int], Any]:
    """A compiled function that makes an address a pointer, for `numba.carray`."""

    @intrinsic
    def pointer(_context, address):  # type: ignore[no-untyped-def] # they are numba's types
        signature = types.CPointer(kind)(address)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: list[ir.Value]) -> ir.Value:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return signature, generate

    return cast("Callable[[int], Any]", pointer)


floats_at = _pointer_to(types.float64)
integers_at = _pointer_to(types.int64)
bytes_at = _pointer_to(types.uint8)
