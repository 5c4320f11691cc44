"""What networks read and answer, and the answers of linear experts, written plainly."""

import numpy as np

from tidecast.arrays import Float, Int64
from tidecast.models import lstm
from tidecast.models.experts import EXPERTS, LSTM, SHARED, LinearExperts
from tidecast.models.inputs import LEAST_SPREAD, Inputs, active_cycles, calendar_inputs
from tidecast.models.model import Model, network_seasons
from tidecast.models.pretrained import inputs as pretrained
from tidecast.models.spec import Spec
from tidecast.models.time_grid import CLIP


def linear_answers(panel: LinearExperts, rows: Float, held: Int64) -> Float:
    """Return the answers of the last value and the linear experts to windows of `(n, rows, features)`."""
    newest = rows[:, -1, 0]
    at = np.maximum(rows.shape[1] - 1 - panel.lags, 0)
    terms = np.nan_to_num(rows[:, at, panel.columns] - np.where(panel.columns == 0, newest[:, None], 0.0))
    moves = (terms[:, None, :] * panel.coefficients).sum(axis=-1) + panel.bias
    known = (panel.needs > 0) & (held[:, None] >= panel.needs)
    return np.concatenate([newest[:, None], np.where(known, newest[:, None] + moves, np.nan)], axis=1)


def scale_windows(windows: Float, center: Float, scale: Float, transform: str) -> Float:
    """Scale `windows` of `(..., window, features)` by `center` and `scale` of `(..., features)`.

    In the transform `change` the target's column is taken relative to its last value. So the network does not depend on
    the level, and an untrained one forecasts "no change".
    """
    base = np.broadcast_to(center, (*windows.shape[:-2], windows.shape[-1])).copy()
    if transform == "change":
        base[..., 0] = windows[..., -1, 0]
    scaled: Float = np.nan_to_num((windows - base[..., None, :]) / scale[..., None, :], nan=0.0)
    return scaled if transform == "raw" else np.clip(scaled, -CLIP, CLIP)


def network_inputs(
    rows: Float,
    held: Int64,
    spec: Spec,
    seasons: Int64,
    center: Float,
    scale: Float,
    linear: Float | None = None,
    calendar: Float | None = None,
) -> Inputs:
    """Prepare rows for a network.

    Args:
        rows: `(n, rows, features)`, newest last; at least the window, and the seasons before it for a seasonal spec.
        held: `(n,)` how many of the rows are real; the values before them are ignored.
        spec: the network's shape and form.
        seasons: `(n, >= spec.seasonal)` season lengths in rows; 0: the series has none.
        center: `(n, features)` of the scaler.
        scale: `(n, features)` of the scaler; with the form `change` the first is the change scale.
        linear: `(n,)` forecasts of the linear expert, for a spec that learns its residuals.
        calendar: `(n, window, 2 * cycles)` of `calendar_inputs`; None: the times are not known, the inputs are 0.
    """
    if spec.pretrained:
        n, count = rows.shape[:2]
        ends = np.arange(1, n + 1) * count
        return pretrained.inputs(rows[:, :, 0].ravel(), ends, held, pretrained.lags(seasons, held))
    window = rows[:, -spec.window :]
    last = window[:, -1, 0]
    size = scale[:, 0].copy()
    if spec.normalise:
        scale = scale.copy()
        spread = np.ascontiguousarray(window[..., 0]).std(axis=1)
        size = np.maximum(spread, np.maximum(LEAST_SPREAD * size, np.finfo(np.float32).tiny))
        scale[:, 0] = size
    channels = [scale_windows(window, center, scale, spec.target_transform)]
    base = last if spec.target_transform == "change" else center[:, 0]
    channels += [_seasonal(rows, held, spec.window, seasons[:, i], base, size) for i in range(spec.seasonal)]
    if spec.calendar:
        unknown = np.zeros((len(rows), spec.window, 2 * len(spec.calendar)))
        channels.append(unknown if calendar is None else calendar)
    if spec.residual and linear is not None:
        base = np.where(np.isfinite(linear), linear, base)
    return Inputs(np.concatenate(channels, axis=2).astype(np.float32), base, size)


def _seasonal(rows: Float, held: Int64, window: int, season: Int64, base: Float, size: Float) -> Float:
    """Return the value one season before the reading after each step, and whether it is known: `(n, window, 2)`."""
    count = rows.shape[1]
    at = count - window + np.arange(window)[None] + 1 - season[:, None]
    known = (season > 0)[:, None] & (at >= count - held[:, None]) & (at >= 0)
    values = rows[np.arange(len(rows))[:, None], np.where(known, at, 0), 0]
    scaled = np.where(known, (np.where(known, values, 0.0) - base[:, None]) / size[:, None], 0.0)
    return np.stack([np.clip(scaled, -CLIP, CLIP), known.astype(np.float64)], axis=2)


def model_answers(
    model: Model, rows: Float, held: Int64, shared: Model | None = None, newest: Int64 | None = None
) -> Float:
    """Return all experts' answers to windows of `(n, rows, features)`: `(n, experts)`, NaN where one cannot answer.

    Args:
        model: the series' model.
        rows: the windows, newest last.
        held: `(n,)` how many of the rows are real.
        shared: the network of its cohort.
        newest: `(n,)` epoch milliseconds of the newest rows; None: the calendar inputs are 0.
    """
    answers = np.full((len(rows), len(EXPERTS)), np.nan)
    answers[:, :LSTM] = linear_answers(model.panel, rows, held)
    if model.header.network and rows.shape[1] >= model.spec.window:
        full = held >= model.spec.window
        answers[full, LSTM] = own_answers(model, rows[full], held[full], None if newest is None else newest[full])
    if shared and rows.shape[1] >= shared.spec.least_rows:
        full = held >= shared.spec.least_rows
        scale = np.full(full.sum(), model.header.change_scale)
        answers[full, SHARED] = shared_answers(shared, rows[full], held[full], model.header.seasons, scale)
    return np.where(np.isfinite(answers), answers, np.nan)


def own_inputs(model: Model, rows: Float, held: Int64, newest: Int64 | None = None) -> Inputs:
    """Prepare windows for a series' own network."""
    n = len(rows)
    spec = model.spec
    header = model.header
    calendar = None
    if newest is not None and spec.calendar:
        cycles = np.tile(active_cycles(spec, header.calendar), (n, 1))
        calendar = calendar_inputs(spec, cycles, newest + round(header.step_ms), np.full(n, header.step_ms))
    return network_inputs(
        rows,
        held,
        spec,
        np.tile(network_seasons(header.seasons, spec.seasonal), (n, 1)),
        np.tile(header.center, (n, 1)),
        np.tile(header.scale, (n, 1)),
        linear_answers(model.panel, rows, held)[:, EXPERTS.index("linear_robust")] if spec.residual else None,
        calendar,
    )


def own_answers(model: Model, rows: Float, held: Int64 | None = None, newest: Int64 | None = None) -> Float:
    """Return the answers of a series' own network, `(n,)`, in its unit; by default all rows are real."""
    prepared = own_inputs(model, rows, np.full(len(rows), rows.shape[1]) if held is None else held, newest)
    return prepared.restore(lstm.forward(prepared.x, model.weights, model.spec.activation)[..., 0])


def shared_inputs(network: Model, rows: Float, held: Int64, seasons: tuple[int, ...], scale: Float) -> Inputs:
    """Prepare windows of series with these seasons and change scales, `(n,)`, for the network of their cohort."""
    of_each = np.tile(network_seasons(seasons, network.spec.seasonal), (len(rows), 1))
    return network_inputs(rows[..., :1], held, network.spec, of_each, np.zeros((len(rows), 1)), scale[:, None])


def shared_answers(network: Model, rows: Float, held: Int64, seasons: tuple[int, ...], scale: Float) -> Float:
    """Return the answers of a cohort's network, `(n,)`, each in its series' unit."""
    prepared = shared_inputs(network, rows, held, seasons, scale)
    return prepared.restore(lstm.forward(prepared.x, network.weights, network.spec.activation)[..., 0])
