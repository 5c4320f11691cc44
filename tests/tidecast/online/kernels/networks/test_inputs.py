"""The compiled preparation is the definition's, whatever a network reads."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from tests.harness.oracles.answers import network_inputs
from tidecast.models.inputs import calendar_inputs, rows_read
from tidecast.models.pretrained import inputs as pretrained
from tidecast.models.pretrained.shape import SEASONS
from tidecast.models.spec import Spec
from tidecast.online.kernels.networks.inputs import prepare, prepare_pretrained
from tidecast.online.kernels.rows import Rows

SPECS = st.builds(
    Spec,
    features=st.sampled_from([(), ("value", "b"), ("value", "b", "c")]),
    window=st.integers(2, 9),
    target_transform=st.sampled_from(["change", "level", "raw"]),
    normalise=st.booleans(),
    seasonal=st.integers(0, 2),
    calendar=st.sampled_from([(), ("day",), ("day", "week")]),
    residual=st.booleans(),
)


@hypothesis.settings(deadline=None, max_examples=75)
@hypothesis.given(SPECS, st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_windows_are_prepared_as_they_are_defined(spec: Spec, more: list[int], seed: int) -> None:
    """Spikes beyond the clip, features that are missing, seasons that are not held or not known, and levels of zero."""
    random = np.random.default_rng(seed)
    n = len(more)
    width = len(spec.features)
    held = spec.window + np.array(more)
    seasons = random.integers(0, 14, (n, spec.seasonal))
    values = random.normal(size=(int(held.sum()), width)) * random.choice([0.0, 1.0, 1e6], (1, width))
    values[random.random(len(values)) < 0.1] *= 1e9
    values[:, 1:][random.random((len(values), width - 1)) < 0.2] = np.nan
    center, scale = random.normal(size=(n, width)), random.choice([1e-3, 1.0, 50.0], (n, width))
    linear = np.where(random.random(n) < 0.5, np.nan, random.normal(size=n))
    next_ts = random.integers(0, 2**40, n)
    step_ms = np.full(n, 3.6e6)
    calendar = calendar_inputs(spec, np.ones((n, len(spec.calendar))), next_ts, step_ms) if spec.calendar else None
    ends = held.cumsum()

    reach = rows_read(spec, seasons)
    at = np.maximum((ends - reach)[:, None] + np.arange(reach), (ends - held)[:, None])
    expected = network_inputs(values[at], held, spec, seasons, center, scale, linear, calendar)
    prepared = prepare(
        Rows(values.ravel(), width * ends, held, np.full(n, width)), spec, (center, scale), seasons, linear, calendar
    )

    np.testing.assert_allclose(prepared.x, expected.x, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prepared.base, expected.base, rtol=1e-12)
    np.testing.assert_allclose(prepared.size, expected.size, rtol=1e-9)


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(st.lists(st.integers(1, 300), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_windows_are_prepared_for_the_pretrained_network_as_it_defines_them(held: list[int], seed: int) -> None:
    """Short histories, seasons that are not held or not known, spikes and levels of zero."""
    random = np.random.default_rng(seed)
    n = len(held)
    ends = np.cumsum(held)
    values = random.normal(size=int(ends[-1])) * random.choice([0.0, 1.0, 1e6])
    values[random.random(len(values)) < 0.1] *= 1e9
    seasons = random.choice([0, 1, 4, 24, 100], (n, SEASONS))
    rows = Rows(values, ends, np.array(held), np.ones(n, np.int64))
    prepared = prepare_pretrained(rows, seasons)
    expected = pretrained.inputs(values, ends, np.array(held), seasons)
    np.testing.assert_allclose(prepared.x, expected.x, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(prepared.base, expected.base)
    np.testing.assert_allclose(prepared.size, expected.size, rtol=1e-9)
