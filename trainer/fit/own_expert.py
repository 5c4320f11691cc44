"""Fit an expert of the user's own on a series."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import structlog

from tidecast.arrays import Float
from tidecast.errors import SettingsError, TidecastError
from tidecast.models import time_grid
from tidecast.models.own_model import OwnModel
from tidecast.models.time_grid import Grid
from tidecast.own_experts.answers import answers_of
from tidecast.own_experts.protocol import Expert
from tidecast.own_experts.source import make_expert

MIN_EXAMPLES = 8  # windows: fewer determine nothing

log = structlog.get_logger("tidecast.experts")
_reported: set[str] = set()  # reasons that were logged


class OwnExpertError(TidecastError):
    """An own expert that cannot be fitted on a series."""


def fit_own(source: str, grid: Grid, stop: int, seed: int) -> OwnModel:
    """Make an expert and fit it on the rows before `stop`.

    Args:
        source: where its code is found.
        grid: the series on its grid.
        stop: rows from here on are not used.
        seed: of the random numbers that it draws from Python's or NumPy's global generator.

    Raises:
        OwnExpertError: its code fails, or the series is too short for its windows.
    """
    try:
        expert = make_expert(source)
        examples = time_grid.sequences(grid, expert.rows, expert.rows, 0, stop)
        whole = np.isfinite(examples.windows).all(axis=(1, 2))
        if whole.sum() < MIN_EXAMPLES:
            raise OwnExpertError(
                f"own expert left out: {whole.sum()} whole windows of {expert.rows} rows, and {MIN_EXAMPLES} are needed"
            )
        windows = examples.windows[whole]
        with _seeded(seed):
            expert.fit(windows, examples.targets[whole])
            model = OwnModel(source, expert.rows, _state(expert))
            _try_out(model, windows[-MIN_EXAMPLES:])
        return model
    except SettingsError as exc:
        raise OwnExpertError(f"own expert left out: {exc}") from exc
    except OwnExpertError:
        raise
    except (Exception, SystemExit) as exc:
        raise OwnExpertError(f"own expert left out: it failed with {type(exc).__name__}: {exc}") from exc


def report_left_out(series: str, reason: str) -> None:
    """Log why an own expert was left out, each reason once: a backtest shows no verdicts."""
    if reason not in _reported:
        _reported.add(reason)
        log.warning("an own expert was left out", series=series, reason=reason)


def _state(expert: Expert) -> bytes:
    state: object = expert.state()
    if not isinstance(state, bytes | bytearray):
        raise OwnExpertError(f"own expert left out: state() returned {type(state).__name__}: return bytes")
    return bytes(state)


def _try_out(model: OwnModel, windows: Float) -> None:
    """Let the expert forecast from its state, as a worker does: one that cannot must not be published."""
    expert = make_expert(model.source)
    expert.restore(model.state)
    answers_of(expert, windows)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, which scikit-learn uses by default, and restore them afterwards."""
    former = random.getstate()
    former_numpy = np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(former)
        np.random.set_state(former_numpy)
