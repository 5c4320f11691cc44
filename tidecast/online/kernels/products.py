"""Products of a vector and a matrix for the networks, with the sums in registers.

The product of a vector and a matrix keeps its sums in registers and walks the matrix once. Every other step walks it
backwards, so that the part left in the first cache is used before it is evicted. The order of every sum depends on the
matrix and the direction alone.
"""

from typing import Any, NamedTuple

from tidecast.arrays import Float32
from tidecast.compiler import compiler_imports
from tidecast.online.kernels.decorators import emitted, part

with compiler_imports():
    from llvmlite import binding, ir
    from numba import types
    from numba.core import cgutils

VECTOR = 16  # floats: one AVX-512 register and one cache line; LLVM uses two or four registers on other processors
CACHE_LINE = 4 * VECTOR  # bytes
# Sums held in registers at once: with 32 wide registers all of an LSTM(50)'s 200 columns fit.
SUMS = 13 if binding.get_host_cpu_features().get("avx512f") else 6
INNER = 32  # rows of a matrix in one walk where several windows share it, so that they stay in the first cache
WALK = "tidecast_add_products"
WIDE = ir.VectorType(ir.FloatType(), VECTOR)


class Matrix(NamedTuple):
    """A matrix and a bias among a network's weights.

    Attributes:
        weights: all weights of the network.
        at: the place of the matrix.
        bias_at: the place of the bias.
        rows: the number of rows.
        columns: the number of columns, whole vectors.
    """

    weights: Float32
    at: int
    bias_at: int
    rows: int
    columns: int


@emitted
def _add_products(_context, sums, start, vector, matrix, _rows, _count):  # type: ignore[no-untyped-def] # numba's
    """Add `_rows` rows of a matrix, each times an element of a vector, to `_count` vectors of sums, in registers.

    `sums[i] = start[i] + vector[k * step] * matrix[k * matrix_step + i] + ...` for i below `_count * VECTOR`, k by k.
    The code uses LLVM's vector types, because its vectoriser does not keep sums in registers over an outer loop.

    Args:
        sums: the array and the place of the sums.
        start: the array and the place of the numbers to which the products are added.
        vector: the array, the place and the step of the vector's elements.
        matrix: the array, the place and the step of the matrix' rows.
        _rows: at least one.
        _count: at most `SUMS`.
    """
    signature = types.void(sums, start, vector, matrix, types.intp, types.intp)

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, args: list[ir.Value]) -> ir.Value:
        def pointer(place: int) -> ir.Value:
            array = builder.extract_value(args[place], 0)
            data = context.make_array(signature.args[place][0])(context, builder, array).data
            return builder.gep(data, [builder.extract_value(args[place], 1)])

        def step(place: int) -> ir.Value:
            return builder.extract_value(args[place], 2)

        walk = builder.module.globals.get(WALK) or _emit_walks(builder.module, args[4].type)
        builder.call(walk, [pointer(0), pointer(1), pointer(2), step(2), pointer(3), step(3), *args[4:]])
        return context.get_dummy_value()

    return signature, generate


def _emit_walks(module: ir.Module, index: ir.Type) -> ir.Function:
    """Emit a function that picks the loop for a number of vectors; inlining it would make compiling endless."""
    numbers = ir.FloatType().as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [numbers, numbers, numbers, index, numbers, index, index, index])
    walk = ir.Function(module, kind, WALK)
    walk.linkage = "linkonce_odr"  # each compiled function contains the same one
    walk.attributes.add("noinline")
    sums, start, vector, step, matrix, matrix_step, rows, count = walk.args
    builder = ir.IRBuilder(walk.append_basic_block("entry"))
    done = walk.append_basic_block("done")
    chosen = builder.switch(count, done)
    for vectors in range(1, SUMS + 1):
        block = walk.append_basic_block(f"sums{vectors}")
        chosen.add_case(ir.Constant(index, vectors), block)
        builder.position_at_end(block)
        _emit_walk(builder, (sums, start), (vector, matrix), (step, matrix_step), rows, vectors)
        builder.branch(done)
    builder.position_at_end(done)
    builder.ret_void()
    return walk


def _emit_walk(
    builder: ir.IRBuilder,
    ends: tuple[ir.Value, ir.Value],
    starts: tuple[ir.Value, ir.Value],
    steps: tuple[ir.Value, ir.Value],
    rows: ir.Value,
    vectors: int,
) -> None:
    """Emit the loop over the rows of a matrix with its sums in registers.

    Args:
        builder: at the end of the block before the loop.
        ends: the addresses of the sums, and of the numbers to which the products are added.
        starts: the addresses of the vector and the matrix.
        steps: their steps, in numbers.
        rows: the number of rows, at least one.
        vectors: the number of vectors in a row.
    """
    whole = rows.type
    fused = _fused_product(builder.module)
    before = builder.block
    loop = builder.append_basic_block("row")
    after = builder.append_basic_block("walked")
    initial = [builder.load(_vector_at(builder, ends[1], whole(VECTOR * i)), align=4) for i in range(vectors)]
    builder.branch(loop)
    builder.position_at_end(loop)
    row = builder.phi(whole)
    sums = [builder.phi(WIDE) for _ in range(vectors)]
    here = [builder.phi(start.type) for start in starts]
    element = _repeated(builder, builder.load(here[0]))
    loaded = [builder.load(_vector_at(builder, here[1], whole(VECTOR * i)), align=4) for i in range(vectors)]
    added = [builder.call(fused, [element, weights, total]) for weights, total in zip(loaded, sums, strict=True)]
    following = builder.add(row, whole(1))
    moved = [builder.gep(place, [step]) for place, step in zip(here, steps, strict=True)]
    first = [whole(0), *starts, *initial]
    for phi, old, new in zip([row, *here, *sums], first, [following, *moved, *added], strict=True):
        phi.add_incoming(old, before)
        phi.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following, rows), loop, after)
    builder.position_at_end(after)
    for i, total in enumerate(added):
        builder.store(total, _vector_at(builder, ends[0], whole(VECTOR * i)), align=4)


def _fused_product(module: ir.Module) -> ir.Function:
    """Return LLVM's function for `a * b + c` of vectors."""
    kind = ir.FunctionType(WIDE, [WIDE] * 3)
    return cgutils.get_or_insert_function(module, kind, f"llvm.fmuladd.v{VECTOR}f32")


def _vector_at(builder: ir.IRBuilder, start: ir.Value, place: ir.Value) -> ir.Value:
    """Return the address of the vector that begins so many numbers after an address."""
    return builder.bitcast(builder.gep(start, [place]), WIDE.as_pointer())


def _repeated(builder: ir.IRBuilder, number: ir.Value) -> ir.Value:
    """Return a vector of one number."""
    undefined = ir.Constant(WIDE, ir.Undefined)
    first = builder.insert_element(undefined, number, ir.IntType(32)(0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(ir.IntType(32), VECTOR), [0] * VECTOR))


@emitted
def prefetch(_context, array, _at):  # type: ignore[no-untyped-def] # they are numba's types
    """Prefetch the cache line that holds `array[at]` into the second cache."""
    signature = types.void(array, types.intp)

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, args: list[ir.Value]) -> ir.Value:
        address = builder.gep(context.make_array(array)(context, builder, args[0]).data, [args[1]])
        address = builder.bitcast(address, ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, number, number, number])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [address, number(0), number(2), number(1)])  # to read, the second cache, data
        return context.get_dummy_value()

    return signature, generate


@part
def multiply(sums: Float32, vectors: Float32, width: int, lanes: int, matrix: Matrix, backwards: bool) -> None:
    """Compute for each lane the bias plus its vector times the matrix.

    Args:
        sums: `(lanes, columns)`, flat, written.
        vectors: `(lanes, width)`, flat; a vector is the first numbers of its row.
        width: see `vectors`.
        lanes: the number of vectors.
        matrix: the matrix and the bias.
        backwards: whether to walk the matrix from its last row to its first.
    """
    rows = matrix.rows
    columns = matrix.columns
    step = rows if lanes == 1 else INNER
    start = (matrix.weights, matrix.bias_at, 0)  # the array, the place, the distance between lanes
    walked = 0
    while walked < rows:
        count = min(step, rows - walked)
        first = rows - 1 - walked if backwards else walked
        _multiply_rows(sums, start, (vectors, first, width), lanes, matrix, (first, count, -1 if backwards else 1))
        walked += count
        start = (sums, 0, columns)


@part
def _multiply_rows(
    sums: Float32,
    start: tuple[Float32, int, int],
    vectors: tuple[Float32, int, int],
    lanes: int,
    matrix: Matrix,
    walk: tuple[int, int, int],
) -> None:
    """Add the products with some rows of the matrix.

    The code avoids divisions: one takes as long as a dozen products of whole vectors.

    Args:
        sums: `(lanes, columns)`, flat, written.
        start: the array, the place and the distance between lanes of the numbers to which the products are added.
        vectors: the array, the place and the distance between lanes of the vectors.
        lanes: the number of vectors.
        matrix: the matrix.
        walk: the first row, the number of rows, and the step from one to the next.
    """
    begun, begun_at, begun_width = start
    read, read_at, width = vectors
    first, rows, sign = walk
    columns = matrix.columns
    blocks = columns // VECTOR
    block = 0
    while block < blocks:
        count = blocks - block
        if count > SUMS:
            count = min(SUMS, (count + 1) >> 1)  # two halves rather than a full part and a small rest
        at = block * VECTOR
        for lane in range(lanes):
            _add_products(
                (sums, lane * columns + at),
                (begun, begun_at + lane * begun_width + at),
                (read, lane * width + read_at, sign),
                (matrix.weights, matrix.at + first * columns + at, sign * columns),
                rows,
                count,
            )
        block += count
