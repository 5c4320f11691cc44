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
WIDE_REGISTERS = bool(binding.get_host_cpu_features().get("avx512f"))
SUMS = 13 if WIDE_REGISTERS else 6
TOGETHER = 4 if WIDE_REGISTERS else 2  # windows that share each loaded vector of weights
SHARED_SUMS = 4 if WIDE_REGISTERS else 3  # of each of these windows; so few columns of a matrix stay in the first cache
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
def _add_products(_context, sums, start, vector, matrix, _rows, _count, _lanes):  # type: ignore[no-untyped-def] # numba's
    """Add `_rows` rows of a matrix, each times an element of a vector, to `_count` vectors of sums, in registers.

    `sums[i] = start[i] + vector[k * step] * matrix[k * matrix_step + i] + ...` for i below `_count * VECTOR`, k by k.
    The code uses LLVM's vector types, because its vectoriser does not keep sums in registers over an outer loop.

    Args:
        sums: the array and the place of the sums, and the distance between lanes.
        start: the array and the place of the numbers to which the products are added, the same for all lanes.
        vector: the array, the place and the step of the vector's elements, and the distance between lanes.
        matrix: the array, the place and the step of the matrix' rows.
        _rows: at least one.
        _count: at most `SUMS`, or `SHARED_SUMS` for several lanes.
        _lanes: 1 or `TOGETHER`.
    """
    signature = types.void(sums, start, vector, matrix, types.intp, types.intp, types.intp)

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, args: list[ir.Value]) -> ir.Value:
        def pointer(place: int) -> ir.Value:
            array = builder.extract_value(args[place], 0)
            data = context.make_array(signature.args[place][0])(context, builder, array).data
            return builder.gep(data, [builder.extract_value(args[place], 1)])

        def number(place: int, at: int) -> ir.Value:
            return builder.extract_value(args[place], at)

        walk = builder.module.globals.get(WALK) or _emit_walks(builder.module, args[4].type)
        apart = [number(0, 2), number(2, 3)]
        steps = [number(2, 2), number(3, 2)]
        builder.call(walk, [*map(pointer, range(4)), *steps, *apart, *args[4:]])
        return context.get_dummy_value()

    return signature, generate


def _emit_walks(module: ir.Module, index: ir.Type) -> ir.Function:
    """Emit a function that picks the loop for a number of vectors and lanes; inlined, it would compile endlessly."""
    numbers = ir.FloatType().as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [numbers] * 4 + [index] * 7)
    walk = ir.Function(module, kind, WALK)
    walk.linkage = "linkonce_odr"  # each compiled function contains the same one
    walk.attributes.add("noinline")
    *pointers, step, matrix_step, sums_apart, vector_apart, rows, count, lanes = walk.args
    builder = ir.IRBuilder(walk.append_basic_block("entry"))
    done = walk.append_basic_block("done")
    chosen = builder.switch(builder.add(builder.mul(lanes, index(SUMS)), count), done)
    for together, most in ((1, SUMS), (TOGETHER, SHARED_SUMS)):
        for vectors in range(1, most + 1):
            block = walk.append_basic_block(f"lanes{together}.sums{vectors}")
            chosen.add_case(index(together * SUMS + vectors), block)
            builder.position_at_end(block)
            apart = (sums_apart, vector_apart)
            _emit_walk(builder, pointers, apart, (step, matrix_step), rows, (together, vectors))
            builder.branch(done)
    builder.position_at_end(done)
    builder.ret_void()
    return walk


def _emit_walk(
    builder: ir.IRBuilder,
    pointers: list[ir.Value],
    apart: tuple[ir.Value, ir.Value],
    steps: tuple[ir.Value, ir.Value],
    rows: ir.Value,
    size: tuple[int, int],
) -> None:
    """Emit the loop over the rows of a matrix with its sums in registers.

    Args:
        builder: at the end of the block before the loop.
        pointers: the addresses of the sums, of the numbers to which the products are added, the vector and the matrix.
        apart: the distances between lanes of the sums and of the vector.
        steps: those from row to row of the last two, in numbers.
        rows: the number of rows, at least one.
        size: the numbers of lanes and of vectors in a row.
    """
    whole = rows.type
    lanes, vectors = size
    fused = _fused_product(builder.module)
    before = builder.block
    loop = builder.append_basic_block("row")
    after = builder.append_basic_block("walked")
    sums_of, elements_at = (
        [builder.gep(start, [builder.mul(between, whole(lane))]) for lane in range(lanes)]
        for start, between in zip((pointers[0], pointers[2]), apart, strict=True)
    )
    places = [(lane, whole(VECTOR * i)) for i in range(vectors) for lane in range(lanes)]
    initial = [builder.load(_vector_at(builder, pointers[1], at), align=4) for _, at in places]
    builder.branch(loop)
    builder.position_at_end(loop)
    row = builder.phi(whole)
    sums = [builder.phi(WIDE) for _ in places]
    here = [builder.phi(start.type) for start in (*elements_at, pointers[3])]
    elements = [_repeated(builder, builder.load(place)) for place in here[:lanes]]
    added = []
    for (lane, at), total in zip(places, sums, strict=True):
        if lane == 0:
            weights = builder.load(_vector_at(builder, here[lanes], at), align=4)
        added.append(builder.call(fused, [elements[lane], weights, total]))
    following = builder.add(row, whole(1))
    moved = [builder.gep(place, [step]) for place, step in zip(here, [steps[0]] * lanes + [steps[1]], strict=True)]
    first = [whole(0), *elements_at, pointers[3], *initial]
    for phi, old, new in zip([row, *here, *sums], first, [following, *moved, *added], strict=True):
        phi.add_incoming(old, before)
        phi.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following, rows), loop, after)
    builder.position_at_end(after)
    for (lane, at), total in zip(places, added, strict=True):
        builder.store(total, _vector_at(builder, sums_of[lane], at), align=4)


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
    shared = lanes - lanes % TOGETHER
    if shared:
        _multiply_lanes(sums, vectors, width, (0, shared, TOGETHER), SHARED_SUMS, matrix, backwards)
    if shared < lanes:
        _multiply_lanes(sums, vectors, width, (shared, lanes, 1), SUMS, matrix, backwards)


@part
def _multiply_lanes(
    sums: Float32,
    vectors: Float32,
    width: int,
    lanes: tuple[int, int, int],
    most: int,
    matrix: Matrix,
    backwards: bool,
) -> None:
    """Compute the same for some lanes.

    The code avoids divisions: one takes as long as a dozen products of whole vectors.

    Args:
        sums: see `multiply`.
        vectors: see `multiply`.
        width: see `multiply`.
        lanes: the first one, the end, and how many walk the matrix together.
        most: the most vectors of sums of each lane in a walk.
        matrix: see `multiply`.
        backwards: see `multiply`.
    """
    first, stop, together = lanes
    columns = matrix.columns
    row = matrix.rows - 1 if backwards else 0
    step = -1 if backwards else 1
    blocks = columns // VECTOR
    block = 0
    while block < blocks:
        count = blocks - block
        if count > most:
            count = min(most, (count + 1) >> 1)  # two halves rather than a full part and a small rest
        at = block * VECTOR
        lane = first
        while lane < stop:
            _add_products(
                (sums, lane * columns + at, columns),
                (matrix.weights, matrix.bias_at + at),
                (vectors, lane * width + row, step, width),
                (matrix.weights, matrix.at + row * columns + at, step * columns),
                matrix.rows,
                count,
                together,
            )
            lane += together
        block += count
