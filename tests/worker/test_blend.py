"""The compiled blend against its definition in NumPy."""

import hypothesis
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tidecast import experts
from tidecast.experts import EXPERTS, HALF_LIVES, NAIVE
from tidecast.windows import Float
from worker import blend

COUNT = len(EXPERTS)
none = st.just(float("nan"))
answer = st.floats(-1e6, 1e6) | none | st.sampled_from([0.0, 1e38, -1e38, float("inf")])
error = st.floats(0, 1e6) | none | st.sampled_from([0.0, 1e-300, 1e38])
answers_ = arrays(np.float64, COUNT, elements=answer)


@st.composite
def records(draw: st.DrawFn) -> Float:
    """Errors as they come about: known in all records or in none."""
    found = draw(arrays(np.float64, (len(HALF_LIVES), COUNT), elements=error))
    found[:, np.isnan(found).any(axis=0)] = np.nan
    return found


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(records(), answers_)
def test_shares_and_forecast_are_those_of_the_definition(errors: Float, answers: Float) -> None:
    """Whatever is unknown, perfect, hopeless or equal."""
    hypothesis.assume(np.isfinite(answers[NAIVE]))
    answers = np.where(np.isfinite(answers), answers, np.nan)
    says = np.empty(COUNT)
    yhat, leader = blend.settle(errors, answers, None, answers, says)
    expected = experts.shares(errors, answers)
    np.testing.assert_allclose(says, expected, rtol=1e-9, atol=1e-300)
    assert leader == says.argmax()
    scale = np.abs(answers[expected > 0]).max()
    assert abs(experts.blend(expected, answers) - yhat) <= 1e-12 * scale


@hypothesis.settings(deadline=None, max_examples=300)
@hypothesis.given(records(), answers_, st.floats(-1e6, 1e6))
def test_a_record_learns_as_the_definition_says(errors: Float, answers: Float, actual: float) -> None:
    """In place, bit for bit."""
    expected = experts.learn(errors, answers, actual)
    blend.settle(errors, answers, actual, answers, np.empty(COUNT))
    np.testing.assert_array_equal(expected, errors)
