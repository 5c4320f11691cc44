"""Arrays by address, so that one compiled loop can reach the arrays of thousands of objects.

The numbers of each series lie in its own arrays, or in its row of arrays for many series. A batch lists their
addresses, so that they need not be gathered before the loop and scattered after it. An address is valid only while its
array lives and is not replaced: the caller must keep the owners alive until the loop has ended.
"""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from tidecast.compiler import compiler_imports

with compiler_imports():
    import numba
    from llvmlite import ir
    from numba import types
    from numba.extending import intrinsic
    from numba.np.numpy_support import from_dtype

carray = numba.carray  # type: ignore[attr-defined] # an array at an address, in compiled code


def address_of(array: NDArray[Any]) -> int:
    """Return the address of an array's first element; raise ValueError if it is not contiguous."""
    if not array.flags.c_contiguous:
        raise ValueError("an array that is read by its address must be contiguous")
    address: int = array.__array_interface__["data"][0]
    return address


def _pointer_to(kind: Any) -> Callable[[int], Any]:
    """Return a compiled function that converts an address to a pointer, for `numba.carray`."""

    @intrinsic
    def pointer(_context, address):  # type: ignore[no-untyped-def] # they are numba's types
        signature = types.CPointer(kind)(address)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: list[ir.Value]) -> ir.Value:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return signature, generate

    return cast("Callable[[int], Any]", pointer)


def record_at(kind: np.dtype[Any]) -> Callable[[int], Any]:
    """Return a compiled function that returns the record of a dtype at an address; its fields are read in place."""
    record_type = from_dtype(kind)

    @intrinsic
    def record(_context, address):  # type: ignore[no-untyped-def] # they are numba's types
        signature = record_type(address)

        def generate(context: Any, builder: ir.IRBuilder, signature: Any, args: list[ir.Value]) -> ir.Value:
            return builder.inttoptr(args[0], context.get_value_type(signature.return_type))

        return signature, generate

    return cast("Callable[[int], Any]", record)


floats_at = _pointer_to(types.float64)
singles_at = _pointer_to(types.float32)
words_at = _pointer_to(types.uint32)
bytes_at = _pointer_to(types.uint8)
