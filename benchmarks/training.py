"""Compare training many series in one graph with one Keras `fit` per series; measure warm starts and a thousand series.

Both sides get the same initial weights, batches, epochs and early stop, so that their losses do not differ by chance.
Keras is measured on a few series and scaled up. Half of them run before the cohort and half after it, so that a change
in the machine's load favours neither.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from numpy.typing import NDArray

from tidecast.files.history import History
from tidecast.models import lstm
from tidecast.models.spec import Spec
from tidecast.settings import TrainSettings
from trainer.fit.keras_models import build, initial_weights, set_weights
from trainer.fit.own_networks import Fit, Problem, batch_order, fit_networks
from trainer.fit.training_set import Untrainable, prepare

Value = TypeVar("Value")
Series = NDArray[np.float64]  # (rows,)

ROWS = 1000
STEP_MS = 3_600_000.0
NEWER = 0.1  # newest rows over the older ones, on which the champions are trained


def options(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's own options."""
    parser.add_argument("--data", type=Path, help="a CSV of series, timestamp, value; made-up series when left out")
    parser.add_argument("--series", type=int, default=64, help="how many series the cohort trains")
    parser.add_argument("--keras", type=int, default=8, help="on how many of them Keras is measured")
    parser.add_argument("--many", type=int, default=1000, help="how many made-up series the long run trains; 0: none")


def measure(args: argparse.Namespace) -> dict[str, float]:
    """Return the figures by name."""
    spec = Spec(units=50, window=24)
    settings = TrainSettings()
    series = _read(args.data, args.series) if args.data else _make_up(args.series)
    figures = _against_keras([_problem(s, spec, settings) for s in series], args.keras, spec, settings)
    figures |= _warm(series, spec, settings)
    if args.many:
        problems = [_problem(s, spec, settings) for s in _make_up(args.many)]
        seconds, _ = _timed(lambda: fit_networks(problems, spec, settings))
        figures["series_per_minute"] = 60 * args.many / seconds
    return figures | {"peak_mb": _peak_mb()}


def _against_keras(problems: list[Problem], some: int, spec: Spec, settings: TrainSettings) -> dict[str, float]:
    picked = np.linspace(0, len(problems) - 1, min(some, len(problems))).astype(int)
    half = len(picked) // 2
    alone = [_timed(partial(_keras_fit, problems[i], spec, settings)) for i in picked[:half]]
    seconds, fits = _timed(lambda: fit_networks(problems, spec, settings))
    alone += [_timed(partial(_keras_fit, problems[i], spec, settings)) for i in picked[half:]]
    keras_seconds = sum(took for took, _ in alone) / len(alone) * len(problems)
    ratios = [min(fits[i].val_loss) / loss for i, (_, loss) in zip(picked, alone, strict=True)]
    print(f"cohort {seconds:.1f} s, Keras {keras_seconds:.1f} s for {len(problems)} series")
    return {"speedup": keras_seconds / seconds, "val_loss_ratio_median": median(ratios)}


def _in_order(problem: Problem, settings: TrainSettings) -> Any:
    """Return the batches of all epochs in the cohort's order, as a TensorFlow dataset: as fast as plain arrays."""
    examples = len(problem.y)
    orders = np.stack([batch_order(examples, epoch + 1, settings.seed) for epoch in range(settings.epochs)])

    def batches(order: Any) -> Any:
        picked = tf.gather(problem.x, order), tf.gather(problem.y, order)
        return tf.data.Dataset.from_tensor_slices(picked).batch(settings.batch)

    return tf.data.Dataset.from_tensor_slices(orders).flat_map(batches).prefetch(tf.data.AUTOTUNE)


def _keras_fit(problem: Problem, spec: Spec, settings: TrainSettings) -> float:
    """Train one series with Keras and return its best validation loss."""
    keras.utils.set_random_seed(settings.seed)
    model = build(spec)
    set_weights(model, spec, initial_weights(spec, settings.seed))
    model.compile(keras.optimizers.Adam(settings.learning_rate), spec.loss)
    stop = keras.callbacks.EarlyStopping(patience=settings.patience, restore_best_weights=True)
    history = model.fit(
        _in_order(problem, settings),
        shuffle=False,
        steps_per_epoch=-(-len(problem.y) // settings.batch),
        epochs=settings.epochs,
        validation_data=(problem.x_val, problem.y_val),
        validation_batch_size=settings.batch,
        callbacks=[stop],
        verbose=0,
    )
    return float(min(history.history["val_loss"]))


def _warm(series: list[Series], spec: Spec, settings: TrainSettings) -> dict[str, float]:
    """Train champions on the older rows, then on all rows from these champions and from fresh weights."""
    older = [_problem(s[: round(len(s) / (1 + NEWER))], spec, settings) for s in series]
    champions = fit_networks(older, spec, settings)
    newer = [_problem(s, spec, settings) for s in series]
    warm = [replace(p, initial=champion.weights) for p, champion in zip(newer, champions, strict=True)]
    cold_seconds, cold_fits = _timed(lambda: fit_networks(newer, spec, settings))
    warm_seconds, warm_fits = _timed(lambda: fit_networks(warm, spec, settings))
    ratios = [_loss(w, p, spec) / _loss(c, p, spec) for w, c, p in zip(warm_fits, cold_fits, newer, strict=True)]
    print(f"cold {cold_seconds:.1f} s, warm {warm_seconds:.1f} s")
    return {"warm_time_ratio": warm_seconds / cold_seconds, "warm_loss_ratio": median(ratios)}


def _loss(fit: Fit, problem: Problem, spec: Spec) -> float:
    """Return the validation loss of the weights that a fit kept, by the NumPy definition of the network."""
    answers = lstm.forward(problem.x_val, fit.weights, spec.activation)[..., 0]
    return float(np.abs(answers - problem.y_val).mean())


def _problem(values: Series, spec: Spec, settings: TrainSettings) -> Problem:
    """Prepare a series as the trainer does: the training and the validation part, scaled."""
    ts = (np.arange(len(values)) * STEP_MS).astype(np.int64)
    training_set = prepare(History("made", ("value",), ts, values[:, None]), spec, settings, max_gap=3)
    if isinstance(training_set, Untrainable):
        sys.exit(f"a series cannot be trained on: {training_set.reason}")
    return training_set.problem()


def _read(path: Path, count: int) -> list[Series]:
    """Return the `count` longest series of a file, the longest first, cut to the newest rows."""
    frame = pd.read_csv(path)
    columns = [group["value"].to_numpy(np.float64) for _, group in frame.groupby("series", sort=False)]
    longest = sorted(columns, key=len, reverse=True)[:count]
    if len(longest) < count:
        sys.exit(f"{path} holds {len(longest)} series, but {count} are requested: pass --series {len(longest)}")
    return [values[-ROWS:] for values in longest]


def _make_up(count: int) -> list[Series]:
    """Return random hourly series with a daily season, a drift and autocorrelated noise."""
    rng = np.random.default_rng(0)
    hours = np.arange(ROWS)
    made = []
    for _ in range(count):
        day = np.sin(2 * np.pi * (hours / 24 + rng.uniform())) + 0.4 * np.sin(4 * np.pi * (hours / 24 + rng.uniform()))
        noise = rng.normal(size=ROWS)
        noise[1:] += 0.6 * noise[:-1]
        made.append(100 + 10 * day + rng.uniform(0.5, 4) * noise + 0.2 * np.cumsum(rng.normal(size=ROWS)))
    return made


def _timed(work: Callable[[], Value]) -> tuple[float, Value]:
    start = time.perf_counter()
    value = work()
    return time.perf_counter() - start, value


def _peak_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
