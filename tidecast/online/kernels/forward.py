"""The compiled forward pass: thousands of LSTMs, each row with its own weights, limited only by memory speed.

`models/lstm.py` defines the computation; this module arranges it for the machine. All weights of one model lie in one
row of a slab, padded to whole vectors, in the order of reading. The product of a vector and a matrix keeps its sums in
registers and walks the matrix once. Every other step walks it backwards, so that the part left in the first cache is
used before it is evicted. While one model computes, the next one's weights are prefetched.

The order of every sum depends on the model and the step alone: an answer is the same to the last bit whatever else is
in the batch and however many threads share it.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np

from tidecast.arrays import Float, Float32, Int64
from tidecast.compiler import compiler_imports

with compiler_imports():
    from llvmlite import binding, ir
    from numba import njit, types
    from numba.core import cgutils
    from numba.extending import intrinsic, register_jitable

from tidecast.code_cache import CodeCache

Compiled = TypeVar("Compiled", bound=Callable[..., Any])

VECTOR = 16  # floats: one AVX-512 register and one cache line; LLVM uses two or four registers on other processors
CACHE_LINE = 4 * VECTOR  # bytes
# Sums held in registers at once: with 32 wide registers all of an LSTM(50)'s 200 columns fit.
SUMS = 13 if binding.get_host_cpu_features().get("avx512f") else 6
INNER = 32  # rows of a matrix in one walk where several windows share it, so that they stay in the first cache
LANES = 16  # windows of one model that are computed side by side
PREFETCHED = 2**16  # weights of the next model at most: a quarter of a common second cache
LARGEST = float(np.finfo(np.float64).max)
WALK = "tidecast_add_products"
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
# The places of a layout's numbers.
UNITS, LAYERS, DIRECTIONS, RELU, HIDDEN, COLUMNS, HIDDEN_COLUMNS, WIDE = range(8)


def compiled(function: Compiled) -> Compiled:
    """Compile a function that Python calls, once for each machine; it releases the GIL.

    Only a product and a sum may be fused, so NaN and infinity behave as in NumPy. Functions that are compiled together,
    and their constants, must be in one file: a change of another file would not renew the code on disk.
    """
    return _kept(function, fastmath={"contract"})


def compiled_exactly(function: Compiled) -> Compiled:
    """Compile a function that Python calls without fusing: its results equal those of Python bit for bit."""
    return _kept(function)


def part(function: Compiled) -> Compiled:
    """Compile a function as `compiled` does, if only compiled functions of the same file call it.

    It is faster to compile, and on disk it exists only within its callers. A call from Python runs it uncompiled.
    """
    return _part(function, fastmath={"contract"})


def part_exactly(function: Compiled) -> Compiled:
    """Compile a function as `part` does, without fusing."""
    return _part(function)


def inlined(function: Compiled) -> Compiled:
    """Inline a function into its only caller before that is compiled, so that it is not compiled on its own too."""
    return cast("Compiled", njit(**_OPTIONS, inline="always")(function))


def _kept(function: Compiled, **options: Any) -> Compiled:
    dispatcher: Any = njit(**_OPTIONS, **options)(function)
    dispatcher._cache = CodeCache(function)
    return cast("Compiled", dispatcher)


def _part(function: Compiled, **options: Any) -> Compiled:
    registered: Compiled = register_jitable(**_OPTIONS, **options)(function)
    return registered


def emitted(define: Callable[..., Any]) -> Callable[..., None]:
    """Turn a function that writes LLVM code into a compiled function."""
    return cast("Callable[..., None]", intrinsic(define))


@emitted
def _add_products(  # type: ignore[no-untyped-def] # they are numba's types
    _context, sums, _sums_at, begun, _begun_at, vector, _at, _step, matrix, _matrix_at, _matrix_step, _inner, _count
):
    """Add `inner` rows of a matrix, each times an element of a vector, to `count` vectors of sums, in registers.

    `sums[i] = begun[i] + vector[k * step] * matrix[k * matrix_step + i] + ...` for i below `count * VECTOR`, k by k.
    The code uses LLVM's vector types, because its vectoriser does not keep sums in registers over an outer loop.
    """
    index = types.intp
    signature = types.void(sums, index, begun, index, vector, index, index, matrix, index, index, index, index)

    def generate(context: Any, builder: ir.IRBuilder, _signature: Any, args: list[ir.Value]) -> ir.Value:
        def pointer(array: int) -> ir.Value:
            data = context.make_array(signature.args[array])(context, builder, args[array]).data
            return builder.gep(data, [args[array + 1]])

        walk = builder.module.globals.get(WALK) or _emit_walks(builder.module, args[1].type)
        builder.call(walk, [pointer(0), pointer(2), pointer(4), args[6], pointer(7), *args[9:]])
        return context.get_dummy_value()

    return signature, generate


def _emit_walks(module: ir.Module, index: ir.Type) -> ir.Function:
    """Emit a function that picks the loop for a number of vectors; inlining it would make compiling endless."""
    numbers = ir.FloatType().as_pointer()
    kind = ir.FunctionType(ir.VoidType(), [numbers, numbers, numbers, index, numbers, index, index, index])
    walk = ir.Function(module, kind, WALK)
    walk.linkage = "linkonce_odr"  # each compiled function contains the same one
    walk.attributes.add("noinline")
    sums, begun, vector, step, matrix, matrix_step, inner, count = walk.args
    builder = ir.IRBuilder(walk.append_basic_block("entry"))
    done = walk.append_basic_block("done")
    chosen = builder.switch(count, done)
    for vectors in range(1, SUMS + 1):
        block = walk.append_basic_block(f"sums{vectors}")
        chosen.add_case(ir.Constant(index, vectors), block)
        builder.position_at_end(block)
        _emit_walk(builder, (sums, begun), (vector, matrix), (step, matrix_step), inner, vectors)
        builder.branch(done)
    builder.position_at_end(done)
    builder.ret_void()
    return walk


def _emit_walk(
    builder: ir.IRBuilder,
    ends: tuple[ir.Value, ir.Value],
    starts: tuple[ir.Value, ir.Value],
    steps: tuple[ir.Value, ir.Value],
    inner: ir.Value,
    vectors: int,
) -> None:
    """Emit the loop over the rows of a matrix, at least one, with its sums in registers."""
    wide = ir.VectorType(ir.FloatType(), VECTOR)
    lane = ir.IntType(32)
    nothing = ir.Constant(wide, ir.Undefined)
    everywhere = ir.Constant(ir.VectorType(lane, VECTOR), [0] * VECTOR)
    name = f"llvm.fmuladd.v{VECTOR}f32"
    kind = ir.FunctionType(wide, [wide] * 3)
    fused = cgutils.get_or_insert_function(builder.module, kind, name)

    def at(start: ir.Value, i: int) -> ir.Value:
        return builder.bitcast(builder.gep(start, [inner.type(VECTOR * i)]), wide.as_pointer())

    def load(start: ir.Value, i: int) -> ir.Value:
        return builder.load(at(start, i), align=4)

    before = builder.block
    loop = builder.append_basic_block("row")
    after = builder.append_basic_block("walked")
    begun = [load(ends[1], i) for i in range(vectors)]
    builder.branch(loop)
    builder.position_at_end(loop)
    row = builder.phi(inner.type)
    sums = [builder.phi(wide) for _ in range(vectors)]
    here = [builder.phi(start.type) for start in starts]
    element = builder.insert_element(nothing, builder.load(here[0]), lane(0))
    element = builder.shuffle_vector(element, nothing, everywhere)
    added = [builder.call(fused, [element, load(here[1], i), sums[i]]) for i in range(vectors)]
    following = builder.add(row, inner.type(1))
    moved = [builder.gep(place, [step]) for place, step in zip(here, steps, strict=True)]
    first = [inner.type(0), *starts, *begun]
    for phi, old, new in zip([row, *here, *sums], first, [following, *moved, *added], strict=True):
        phi.add_incoming(old, before)
        phi.add_incoming(new, loop)
    builder.cbranch(builder.icmp_signed("<", following, inner), loop, after)
    builder.position_at_end(after)
    for i, value in enumerate(added):
        builder.store(value, at(ends[0], i), align=4)


@emitted
def _prefetch(_context, array, _at):  # type: ignore[no-untyped-def] # they are numba's types
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
def _multiply(
    sums: Float32,
    bias: Float32,
    bias_at: int,
    vectors: Float32,
    width: int,
    lanes: int,
    weights: Float32,
    at: int,
    inner: int,
    columns: int,
    backwards: bool,
) -> None:
    """Compute for each lane the bias plus its vector times the matrix; vectors lie `width` apart, sums `columns`.

    The code avoids divisions: one takes as long as a dozen products of whole vectors.
    """
    blocks = columns // VECTOR
    sign = -1 if backwards else 1
    step = inner if lanes == 1 else INNER
    begun = bias
    begun_at = bias_at
    begun_width = 0
    walked = 0
    while walked < inner:
        rows = min(step, inner - walked)
        first = inner - 1 - walked if backwards else walked
        block = 0
        while block < blocks:
            count = blocks - block
            if count > SUMS:
                count = min(SUMS, (count + 1) >> 1)  # two halves rather than a full part and a small rest
            for lane in range(lanes):
                _add_products(
                    sums,
                    lane * columns + block * VECTOR,
                    begun,
                    begun_at + lane * begun_width + block * VECTOR,
                    vectors,
                    lane * width + first,
                    sign,
                    weights,
                    at + first * columns + block * VECTOR,
                    sign * columns,
                    rows,
                    count,
                )
            block += count
        walked += rows
        begun = sums
        begun_at = 0
        begun_width = columns


@part
def tanh(x: np.float32) -> np.float32:
    """Return the hyperbolic tangent of a float32 to 1e-6, NaN for NaN, by the rational approximation of Eigen."""
    x = np.float32(-7.90531110763549805) if x < np.float32(-7.90531110763549805) else x
    x = np.float32(7.90531110763549805) if x > np.float32(7.90531110763549805) else x
    y = x * x
    p = np.float32(-2.76076847742355e-16)
    p = p * y + np.float32(2.00018790482477e-13)
    p = p * y + np.float32(-8.60467152213735e-11)
    p = p * y + np.float32(5.12229709037114e-08)
    p = p * y + np.float32(1.48572235717979e-05)
    p = p * y + np.float32(6.37261928875436e-04)
    p = p * y + np.float32(4.89352455891786e-03)
    q = np.float32(1.19825839466702e-06)
    q = q * y + np.float32(1.18534705686654e-04)
    q = q * y + np.float32(2.26843463243900e-03)
    q = q * y + np.float32(4.89352518554385e-03)
    return x * p / q


@part
def opened(x: np.float32) -> np.float32:
    """Return the value of a gate from the tanh x of its halved sum: the sigmoid of the full sum."""
    return np.float32(0.5) * x + np.float32(0.5)


@part
def positive(x: np.float32) -> np.float32:
    """Return the larger of x and 0, NaN for NaN."""
    return np.float32(0) if x < np.float32(0) else x


# The indices below are unsigned: a signed index may count from an array's end, so the loop would not vectorise.


@part
def _copy(into: Float32, into_at: int, source: Float32, source_at: int, count: int) -> None:
    to = np.uintp(into_at)
    at = np.uintp(source_at)
    for j in range(np.uintp(count)):
        into[to + j] = source[at + j]


@part
def _squash(values: Float32, first: int, count: int) -> None:
    at = np.uintp(first)
    for j in range(np.uintp(count)):
        values[at + j] = tanh(values[at + j])


@part
def _rectify(values: Float32, first: int, count: int) -> None:
    at = np.uintp(first)
    for j in range(np.uintp(count)):
        values[at + j] = positive(values[at + j])


@part
def _remember(
    gates: Float32,
    at: int,
    units: int,
    memory: Float32,
    memory_at: int,
    shown: Float32,
    shown_at: int,
    wide: int,
    relu: bool,
) -> None:
    """Advance the cell state and the hidden state by the four gates that lie side by side in `gates`.

    `wide` is a whole number of short vectors: the results beyond the units are never read.
    """
    taken = np.uintp(at)
    kept = np.uintp(at + units)
    proposed = np.uintp(at + 2 * units)
    open_ = np.uintp(at + 3 * units)
    state = np.uintp(memory_at)
    show = np.uintp(shown_at)
    for u in range(np.uintp(wide)):
        memory[state + u] *= opened(gates[kept + u])
        memory[state + u] += opened(gates[taken + u]) * gates[proposed + u]
    if relu:
        for u in range(np.uintp(wide)):
            shown[show + u] = opened(gates[open_ + u]) * positive(memory[state + u])
    else:
        for u in range(np.uintp(wide)):
            shown[show + u] = opened(gates[open_ + u]) * tanh(memory[state + u])


@inlined
def _layer(
    size: tuple[int, int],
    inputs: Float32,
    width: int,
    outputs: Float32,
    shown: Float32,
    weights: Float32,
    cell: tuple[int, int],
    direction: int,
    shape: Int64,
    scratch: tuple[Float32, Float32, Float32],
    following: Float32,
) -> None:
    """Run one cell over the windows; write the last hidden state to `shown` and those of all steps to `outputs`.

    Sequences lie as (step, lane, width). The last layer has no sequence to pass on: its `outputs` are empty. The inputs
    of a step and the hidden state of the step before lie side by side, as kernel and recurrent weights do: one product
    computes both.

    Args:
        size: the numbers of steps and lanes.
        inputs: the sequence to read.
        width: the width of `inputs`.
        outputs: the sequence to write, of both directions' units.
        shown: `(lanes, directions * units)`, the last hidden states.
        weights: the weights of the model.
        cell: the places of the kernel and the bias in the weights.
        direction: 0 reads the window forwards, 1 backwards.
        shape: the layout's numbers.
        scratch: room for the gates, the cell states, and the inputs with the hidden states.
        following: the next model's weights, to be prefetched during the computation; may be empty.
    """
    window, lanes = size
    units = shape[UNITS]
    directions = shape[DIRECTIONS]
    relu = shape[RELU] == 1
    columns = shape[COLUMNS]
    wide = shape[WIDE]
    gates, memory, read = scratch
    apart = width + wide
    inner = width + units
    memory[: lanes * wide] = 0
    read[: lanes * apart] = 0
    share = (len(following) // VECTOR // window + 1) * VECTOR
    for step in range(window):
        t = step if direction == 0 else window - 1 - step
        for lane in range(lanes):
            _copy(read, lane * apart, inputs, (t * lanes + lane) * width, width)
        _multiply(gates, weights, cell[1], read, apart, lanes, weights, cell[0], inner, columns, step % 2 == 1)
        _open(gates, lanes, shape, relu)
        for lane in range(lanes):
            _remember(gates, lane * columns, units, memory, lane * wide, read, lane * apart + width, wide, relu)
        if len(outputs):
            _show(outputs, t * lanes * directions * units, read, width, lanes, direction, shape)
        _fetch(following, step * share, share)
    _show(shown, 0, read, width, lanes, direction, shape)


@part
def _open(gates: Float32, lanes: int, shape: Int64, relu: bool) -> None:
    """Apply tanh to the sums of the gates, lane by lane; with relu the candidates are rectified instead."""
    columns = shape[COLUMNS]
    units = shape[UNITS]
    if not relu:
        _squash(gates, 0, lanes * columns)
        return
    for lane in range(lanes):
        here = lane * columns
        _squash(gates, here, 2 * units)
        _rectify(gates, here + 2 * units, units)
        _squash(gates, here + 3 * units, units)


@part
def _show(outputs: Float32, at: int, read: Float32, width: int, lanes: int, direction: int, shape: Int64) -> None:
    """Copy a direction's hidden states, which lie beside the inputs, to where the next layer reads them."""
    units = shape[UNITS]
    for lane in range(lanes):
        to = at + (lane * shape[DIRECTIONS] + direction) * units
        _copy(outputs, to, read, lane * (width + shape[WIDE]) + width, units)


@part
def _fetch(weights: Float32, first: int, count: int) -> None:
    """Prefetch `count` weights from `first` on, at most to the end."""
    for at in range(first, min(first + count, len(weights), PREFETCHED), VECTOR):
        _prefetch(weights, at)


@inlined
def _layers(
    read: Float32,
    size: tuple[int, int],
    channels: int,
    weights: Float32,
    shape: Int64,
    offsets: Int64,
    scratch: tuple[Float32, Float32, Float32],
    sequences: tuple[Float32, Float32, Float32],
    shown: Float32,
    following: Float32,
) -> None:
    """Run all layers over the windows in `read`, and write the last hidden states of the last layer to `shown`."""
    layers = shape[LAYERS]
    directions = shape[DIRECTIONS]
    even, odd, nothing = sequences
    inputs = read
    outputs = even
    width = channels
    for layer in range(layers):
        for direction in range(directions):
            cell = 3 * (layer * directions + direction)
            _layer(
                size,
                inputs,
                width,
                nothing if layer == layers - 1 else outputs,
                shown,
                weights,
                (offsets[cell], offsets[cell + 2]),
                direction,
                shape,
                scratch,
                following if cell == 0 else nothing,
            )
        inputs = outputs
        outputs = even if layer % 2 else odd
        width = directions * shape[UNITS]


@inlined
def _say(
    shown: Float32, weights: Float32, shape: Int64, offsets: Int64, sums: Float32, answers: Float32, order: Int64
) -> None:
    """Run the dense layers over the last hidden states, and write one number per lane to `answers[order]`."""
    last = 3 * shape[LAYERS] * shape[DIRECTIONS]
    lanes = len(order)
    inputs = shown
    width = shape[DIRECTIONS] * shape[UNITS]
    apart = shape[DIRECTIONS] * shape[UNITS]
    if shape[HIDDEN]:
        columns = shape[HIDDEN_COLUMNS]
        bias = offsets[last + 1]
        _multiply(sums, weights, bias, shown, width, lanes, weights, offsets[last], width, columns, False)
        _rectify(sums, 0, lanes * columns)
        inputs = sums
        width = shape[HIDDEN]
        apart = columns
        last = last + 2
    for lane in range(lanes):
        answer = weights[offsets[last + 1]]
        for j in range(width):
            answer += inputs[lane * apart + j] * weights[offsets[last] + j]
        answers[order[lane]] = answer


@part
def _aligned(size: int) -> Float32:
    """Allocate room for so many numbers, starting at a cache line."""
    room = np.empty(size + VECTOR, np.float32)
    first = (-room.ctypes.data % CACHE_LINE) // room.itemsize
    return room[first : first + size]


@compiled
def answer(
    x: Float32, order: Int64, slab: Float32, rows: Int64, shape: Int64, offsets: Int64, answers: Float32
) -> None:
    """Run the networks over `x[order]`, each with its own row of the slab; `order` groups the windows by model.

    Args:
        x: `(n, window, channels)`.
        order: `(some,)` indices into the n windows.
        slab: `(models, size)`, written by a `Layout`.
        rows: `(n,)` the row of each window's model in the slab.
        shape: the layout's numbers.
        offsets: the places of the weights in a row.
        answers: `(n,)`, written at the indices in `order`.
    """
    window = x.shape[1]
    channels = x.shape[2]
    width = shape[DIRECTIONS] * shape[UNITS]
    most = min(LANES, len(order))
    # The gates of the last lane may be read beyond their end, by less than a vector.
    sums = _aligned(most * max(shape[COLUMNS], shape[HIDDEN_COLUMNS]) + VECTOR)
    widest = max(channels, width if shape[LAYERS] > 1 else 0) + shape[WIDE]
    scratch = (sums, np.empty(most * shape[WIDE], np.float32), np.empty(most * widest, np.float32))
    between = window * most * width
    sequences = (
        np.empty(between if shape[LAYERS] > 1 else 0, np.float32),
        np.empty(between if shape[LAYERS] > 2 else 0, np.float32),
        np.empty(0, np.float32),
    )
    read = np.empty(window * most * channels, np.float32)
    shown = np.empty(most * width, np.float32)
    first = 0
    while first < len(order):
        model = rows[order[first]]
        lanes = 1
        while lanes < most and first + lanes < len(order) and rows[order[first + lanes]] == model:
            lanes += 1
        for lane in range(lanes):
            for t in range(window):
                for c in range(channels):
                    read[(t * lanes + lane) * channels + c] = x[order[first + lane], t, c]
        weights = slab[model]
        following = slab[rows[order[min(first + lanes, len(order) - 1)]]]
        _layers(read, (window, lanes), channels, weights, shape, offsets, scratch, sequences, shown, following)
        _say(shown, weights, shape, offsets, sums, answers, order[first : first + lanes])
        first += lanes


@compiled
def weigh(
    values: Float,
    ends: Int64,
    held: Int64,
    rows: Int64,
    lags: Int64,
    columns: Int64,
    coefficients: Float,
    bias: Float,
    needs: Int64,
    answers: Float,
) -> None:
    """Compute `linear_answers` of `tidecast/models/experts.py`, reading the panels in place.

    Args:
        values: `(all rows, features)` of all questions, one after the other.
        ends: `(n,)` the row after the newest of each question.
        held: `(n,)` the number of rows of each question.
        rows: `(n,)` the row of each question's model in the panels.
        lags: `(panels, terms)`, as `columns`; `coefficients` is `(panels, experts, terms)`, `bias` and `needs`
            `(panels, experts)`.
        columns: see `lags`.
        coefficients: see `lags`.
        bias: see `lags`.
        needs: see `lags`.
        answers: `(n, 1 + experts or more)`, written; NaN where an expert cannot answer.
    """
    count = lags.shape[1]
    terms = np.empty(count)
    for i in range(len(rows)):
        panel = rows[i]
        at = ends[i] - 1
        newest = values[at, 0]
        for j in range(count):
            terms[j] = 0.0
            if lags[panel, j] < held[i]:
                column = columns[panel, j]
                term = values[at - lags[panel, j], column] - (newest if column == 0 else 0.0)
                terms[j] = 0.0 if np.isnan(term) else min(max(term, -LARGEST), LARGEST)
        answers[i, 0] = newest
        for expert in range(needs.shape[1]):
            answers[i, 1 + expert] = np.nan
            if 0 < needs[panel, expert] <= held[i]:
                moves = 0.0
                for j in range(count):
                    moves += terms[j] * coefficients[panel, expert, j]
                answers[i, 1 + expert] = newest + (moves + bias[panel, expert])
