"""Each forecast becomes one argument of a Redis command, which Redis unpacks to the texts of its entry."""

from typing import cast

import hypothesis
from hypothesis import strategies as st
from redis import Redis

from tests.harness.forecasts import together
from tidecast.online.kernels.redis_arguments import arguments_in
from tidecast.online.series.forecast_encoder import encoded
from tidecast.wire import Forecast, Forecasts

UNPACK = "local entries = {} for i = 1, #ARGV do entries[i] = {cmsgpack.unpack(ARGV[i])} end return entries"

numbers = st.floats(-3.4e38, 3.4e38)
times = st.integers(0, 2**53)
names = st.one_of(
    st.sampled_from(["null", ",", '"\\"', "a" * 31, "a" * 32, "ä" * 128]),
    st.text(st.characters(exclude_categories=("C",)), min_size=1, max_size=40),
)
forecasts = st.builds(
    Forecast,
    id=st.builds("{}-{}".format, times, times),
    series=names,
    ts=st.none() | times,
    yhat=numbers,
    yhat_lower=st.none() | numbers,
    yhat_upper=st.none() | numbers,
    level=st.just(0.9),
    origin=times,
    model=st.none() | st.integers(1, 10**9),
    kind=st.sampled_from(["naive", "online_recent"]),
    y=numbers,
    error=st.none() | numbers,
    anomaly_score=st.none() | numbers,
    anomaly=st.none() | st.booleans(),
    filled=st.integers(0, 3),
    more=st.sampled_from([(), (("yhat_lower_50", 1.5),), (("yhat_upper_99.99", -2.0), ("yhat_2", 1e-300))]),
)


@hypothesis.settings(
    deadline=None, max_examples=60, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(batch=st.lists(forecasts, min_size=1, max_size=5))
def test_redis_unpacks_each_forecast_as_it_was_made(redis: Redis, batch: list[Forecast]) -> None:
    """Odd names, long ones, and numbers that are not known in some of them only: nothing moves into another entry."""
    arguments = arguments_in(encoded(together(*batch)))
    entries = [cast("list[bytes]", texts) for texts in cast("list[list[bytes]]", redis.eval(UNPACK, 0, *arguments))]
    assert batch == [Forecast.decode(texts[0], dict(zip(texts[1::2], texts[2::2], strict=True))) for texts in entries]


def test_a_batch_without_forecasts_has_no_arguments() -> None:
    """Batches of dead letters alone are committed as well."""
    assert b"" == encoded(Forecasts())
