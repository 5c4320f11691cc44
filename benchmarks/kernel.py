"""Compare the compiled kernel with stacked NumPy and stacked XLA: one forecast each for many series with own weights.

All three run in the same rounds, one after the other, so that other work on the machine slows all alike. Medians are
printed with the smallest and the largest times. A batch of one shared network is measured in the same way.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np

from tidecast.arrays import Float32
from tidecast.models import lstm
from tidecast.models.spec import Spec
from tidecast.online.kernels.networks.threads import Threads
from tidecast.online.kernels.networks.weight_layout import WeightLayout
from tidecast.settings import quiet_tensorflow

Round = Callable[[], Float32]

SHARED = Spec(window=48, units=64, hidden=64, normalise=True, seasonal=2)  # as for a cohort in the trainer
SHARED_WINDOWS = 256
CLOSE = 1e-4  # largest difference between the forecasts of two contestants


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--series", type=int, default=1000, help="how many series, each with weights of its own")
    parser.add_argument("--units", type=int, default=50, help="of each network")
    parser.add_argument("--window", type=int, default=24, help="how many steps each network reads")
    parser.add_argument("--threads", type=int, default=2, help="how many threads every contestant gets")
    parser.add_argument("--rounds", type=int, default=15, help="how often each contestant answers; at least 5")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Return the figures by name: microseconds per forecast, and the times of the others over that of the kernel."""
    spec = Spec(units=args.units, window=args.window)
    rounds = max(5, args.rounds)
    x, weights = _made(spec, args.series, args.series)
    own = {
        "kernel": _kernel(x, weights, spec, args.threads),
        "numpy": _numpy(x, weights, spec, args.threads),
        **_xla(x, weights, args.threads),
    }
    took = _interleaved(own, rounds)
    x, weights = _made(SHARED, SHARED_WINDOWS, 1)
    alone = {name: w[0] for name, w in weights.items()}
    shared = {
        "shared_kernel": _kernel(x, weights, SHARED, args.threads),
        "shared_numpy": lambda: lstm.forward(x, alone, SHARED.activation)[:, 0],
    }
    took |= _interleaved(shared, rounds)
    figures = {f"{name}_us": median(seconds) for name, seconds in took.items()}
    figures |= {f"ratio_to_{name}": figures[f"{name}_us"] / figures["kernel_us"] for name in own if name != "kernel"}
    figures["shared_ratio_to_numpy"] = figures["shared_numpy_us"] / figures["shared_kernel_us"]
    products = spec.window * 4 * spec.units * (spec.channels + spec.units)
    return figures | {"kernel_gflops": 2 * products / figures["kernel_us"] / 1e3}


def _made(spec: Spec, windows: int, models: int) -> tuple[Float32, dict[str, Float32]]:
    """Return random windows, and stacked random weights of a trained network's size."""
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.normal(size=(models, *shape)) / np.sqrt(shape[0])).astype(np.float32)
        for name, shape in spec.shapes().items()
    }
    return rng.normal(size=(windows, spec.window, spec.channels)).astype(np.float32), weights


def _kernel(x: Float32, weights: dict[str, Float32], spec: Spec, threads: int) -> Round:
    layout = WeightLayout(spec)
    slab = layout.slab(len(weights["dense.bias"]))
    layout.write(slab, weights)
    rows = np.arange(len(x)) % len(slab)
    shared = Threads(threads)
    return lambda: shared.answers(x, slab, rows, layout)


def _numpy(x: Float32, weights: dict[str, Float32], spec: Spec, threads: int) -> Round:
    """Return a round of stacked `np.matmul` with the series split over threads; NumPy releases the GIL in products."""
    pool = ThreadPoolExecutor(threads)
    edges = np.linspace(0, len(x), threads + 1).astype(int)
    parts = [slice(first, last) for first, last in pairwise(edges)]

    def answer(part: slice) -> Float32:
        forecasts: Float32 = lstm.forward(x[part], {name: w[part] for name, w in weights.items()}, spec.activation)[
            :, 0
        ]
        return forecasts

    return lambda: np.concatenate(list(pool.map(answer, parts)))


def _xla(x: Float32, weights: dict[str, Float32], threads: int) -> dict[str, Round]:
    """Return a round of one compiled graph over the stacked weights of a one-layer LSTM; empty without TensorFlow."""
    if importlib.util.find_spec("tensorflow") is None:
        print("TensorFlow is not installed: XLA is left out (pip install 'tidecast[train]')")
        return {}
    quiet_tensorflow()
    import tensorflow as tf

    with suppress(RuntimeError):  # TensorFlow is in use in this process already and keeps its threads
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    kernel = tf.constant(weights["lstm.0.forward.kernel"])
    recurrent = tf.constant(weights["lstm.0.forward.recurrent"])
    bias = tf.constant(weights["lstm.0.forward.bias"])
    dense = tf.constant(weights["dense.kernel"])
    dense_bias = tf.constant(weights["dense.bias"])
    inputs = tf.constant(x)

    @tf.function(jit_compile=True)  # type: ignore[untyped-decorator] # TensorFlow ships no types
    def forward(windows: Any) -> Any:
        from_inputs = tf.matmul(windows, kernel) + bias[:, None]
        hidden = state = tf.zeros((len(x), recurrent.shape[1]))
        for t in range(x.shape[1]):
            gates = from_inputs[:, t] + tf.matmul(hidden[:, None], recurrent)[:, 0]
            input_gate, forget_gate, candidate, output_gate = tf.split(gates, 4, axis=1)
            state = tf.sigmoid(forget_gate) * state + tf.sigmoid(input_gate) * tf.tanh(candidate)
            hidden = tf.sigmoid(output_gate) * tf.tanh(state)
        return tf.matmul(hidden[:, None], dense)[:, 0, 0] + dense_bias[:, 0]

    return {"xla": lambda: forward(inputs).numpy()}


def _interleaved(contestants: dict[str, Round], rounds: int) -> dict[str, list[float]]:
    """Return microseconds per forecast of each round, after one that is not counted.

    Raises:
        AssertionError: two contestants disagree by more than `CLOSE`.
    """
    answers = {name: answer() for name, answer in contestants.items()}
    first = next(iter(answers.values()))
    for name, other in answers.items():
        if not np.allclose(first, other, rtol=0, atol=CLOSE):
            raise AssertionError(f"{name} differs by up to {np.abs(first - other).max()}")
    took: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, answer in contestants.items():
            began = time.perf_counter()
            answer()
            took[name].append((time.perf_counter() - began) / len(first) * 1e6)
    print(f"{'microseconds a forecast':<24}  median     min     max")
    for name, times in took.items():
        print(f"{name:<24}  {median(times):6.1f}  {min(times):6.1f}  {max(times):6.1f}")
    return took
