"""The gates over the window that a worker has stored, on a real Redis."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from dashboard.data.gates import GateReader, TracedGates
from tests.harness.models import make_model, make_shared
from tests.harness.oracles.answers import own_inputs, shared_inputs
from tests.harness.patience import PATIENCE_S
from tests.harness.processes import forked_worker
from tidecast.client import Client
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models import lstm
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.online.series.state import SeriesState
from tidecast.online.window import Window
from tidecast.settings import Settings, load_settings
from tidecast.wire import keys_of, partition_of

NAME = "boiler-7"
START, STEP_MS = 1_700_000_000_000, 1000
SPECS = [
    Spec(window=6, units=5),
    Spec(window=6, units=5, activation="relu", target_transform="level"),
    Spec(window=6, units=5, normalise=True, residual=True),
    Spec(window=6, units=4, layers=2, bidirectional=True),
    Spec(window=6, units=5, seasonal=2, calendar=("day",)),
    Spec(window=6, units=5, features=("value", "flow")),
]


def remember(
    redis: Redis, rows: int, features: tuple[str, ...] = ("value",), key: str = "state", **told: Any
) -> Window:
    """Store the window of a series after so many readings, as a worker does."""
    rng = np.random.default_rng(3)
    window = Window(told.get("capacity", 400), len(features))
    for i in range(rows):
        window.push(START + STEP_MS * i, rng.normal(20, 2, len(features)), 3)
    redis.hset(key, mapping=dict(SeriesState(features, window).changes(NAME)))
    return window


def seen(settings: Settings) -> TracedGates:
    """Return the gates shown for the series; fail if there is only a message."""
    gates = GateReader(settings).read(NAME)
    assert isinstance(gates, TracedGates), gates
    return gates


def first_layer(model: Model, x: lstm.Array) -> lstm.Array:
    """Return the hidden values of the first layer's forward cell at every step, by the definition: `(steps, units)`."""
    return lstm.layer(x, lstm.cells_of(model.weights)[0][:1], model.spec.activation)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: "-".join(map(str, spec.model_dump(exclude_defaults=True))))
def test_the_cell_is_followed_over_the_newest_window(
    spec: Spec, settings: Settings, redis: Redis, store: ModelStore
) -> None:
    """Prepared as for a forecast, with seasons, calendar and features, which may stand in another order."""
    model = make_model(NAME, spec, seasons=(4, 9), calendar=("day",), seed=2)
    store.publish(model)
    window = remember(redis, 50, ("value",) if len(spec.features) == 1 else ("flow", "value"))
    rows = window.rows if len(spec.features) == 1 else window.rows[:, ::-1]
    gates = seen(settings)
    prepared = own_inputs(model, rows[None], np.array([50]), np.array([START + 49 * STEP_MS]))
    np.testing.assert_allclose(first_layer(model, prepared.x[0]), gates.cell.hidden, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(rows[-6:, 0], gates.values)
    assert (1, "layer 1, forward", START + 49 * STEP_MS) == (gates.version, gates.cell.name, gates.last_ts)


def test_where_a_season_lies_before_the_window_it_is_not_known(
    settings: Settings, redis: Redis, store: ModelStore
) -> None:
    """A window that is full for the network may be too short for its seasons."""
    model = make_model(NAME, Spec(window=6, units=5, seasonal=1), seasons=(40,))
    store.publish(model)
    window = remember(redis, 20)
    rows = np.concatenate([np.full((60, 1), np.nan), window.rows])
    prepared = own_inputs(model, rows[None], np.array([20]), np.array([START]))
    np.testing.assert_allclose(first_layer(model, prepared.x[0]), seen(settings).cell.hidden, rtol=1e-5, atol=1e-6)


def test_a_series_without_a_network_of_its_own_shows_that_of_its_cohort(
    settings: Settings, redis: Redis, store: ModelStore
) -> None:
    """That network reads the target alone."""
    network = make_shared("hourly")
    store.shared.publish(network)
    store.publish(make_model(NAME, network=False, shared="hourly", seasons=(4, 9), change_scale=0.5))
    window = remember(redis, 50)
    prepared = shared_inputs(network, window.rows[None], np.array([50]), (4, 9), np.array([0.5]))
    gates = seen(settings)
    assert gates.shared
    np.testing.assert_allclose(first_layer(network, prepared.x[0]), gates.cell.hidden, rtol=1e-5, atol=1e-6)


def test_a_window_that_is_longer_than_usual_is_read_whole(settings: Settings, redis: Redis, store: ModelStore) -> None:
    """Its model looks back further than `series.rows_kept`."""
    store.publish(make_model(NAME, Spec(window=900, units=2)))
    window = remember(redis, 1000, capacity=950)
    np.testing.assert_array_equal(window.rows[-900:, 0], seen(settings).values)


def test_the_partition_of_the_series_is_asked(settings: Settings, redis: Redis, store: ModelStore) -> None:
    """Below the namespace."""
    changed = load_settings(**settings.model_dump(exclude={"partitions", "namespace"}), partitions=7, namespace="plant")
    store.publish(make_model(NAME))
    remember(redis, 20, key=keys_of(partition_of(NAME, 7), 7, "plant").state)
    assert 6 == len(seen(changed).values)


def test_another_champion_is_looked_into_at_once(settings: Settings, redis: Redis, store: ModelStore) -> None:
    """After a rollback the former one is shown again."""
    reader = GateReader(settings)
    remember(redis, 20)
    shown = []
    for seed in (0, 1):
        store.publish(make_model(NAME, seed=seed))
        shown.append(reader.read(NAME))
    store.rollback(NAME)
    shown.append(reader.read(NAME))
    versions = [gates.version for gates in shown if isinstance(gates, TracedGates)]
    hidden = [gates.cell.last_hidden for gates in shown if isinstance(gates, TracedGates)]
    assert [1, 2, 1] == versions
    np.testing.assert_array_equal(hidden[0], hidden[2])
    assert not np.allclose(hidden[0], hidden[1])


def test_why_there_are_no_gates_is_said_in_words(settings: Settings, redis: Redis, store: ModelStore) -> None:
    """One sentence for each reason."""
    reader = GateReader(settings)
    assert "No model answers yet" in str(reader.read(NAME))
    store.publish(make_model(NAME, network=False))
    assert "Version 1 has no network" in str(reader.read(NAME))
    store.publish(make_model(NAME, Spec(window=12, units=4, features=("value", "flow"))))
    assert "No worker has stored a window" in str(reader.read(NAME))
    remember(redis, 11, ("value", "flow"))
    assert "reads 12 readings in a row; the series has 11 so far" in str(reader.read(NAME))
    remember(redis, 20)
    assert "Version 2 reads flow" in str(reader.read(NAME))
    redis.hset("state", NAME, b"\xff")
    assert "run the version that wrote it" in str(reader.read(NAME))


def test_a_redis_that_is_away_is_the_callers_to_overcome(redis_program: str, tmp_path: Path) -> None:
    """The reader goes on once it is back."""
    store = ModelStore(tmp_path)
    store.publish(make_model(NAME))
    with EmbeddedRedis(redis_program, ("--appendonly", "yes")) as server:
        reader = GateReader(load_settings(redis_url=server.url, store=tmp_path))
        with Redis.from_url(server.url, protocol=2) as connection:
            remember(connection, 20)
        server.kill()
        with pytest.raises(RedisConnectionError):
            reader.read(NAME)
        server.start()
        assert isinstance(reader.read(NAME), TracedGates)


def test_what_the_cell_says_is_what_the_worker_forecast(settings: Settings, redis: Redis, store: ModelStore) -> None:
    """A real worker's newest forecast, from the cell's last hidden state and the output layer."""
    model = make_model(NAME, Spec(window=6, units=5), seed=4)
    store.publish(model)
    url = settings.redis_url.get_secret_value()
    rng = np.random.default_rng(5)
    with Client(url) as client:
        client.push_many([(NAME, float(20 + rng.normal()), START + STEP_MS * i) for i in range(40)])
        with forked_worker(url, settings.store, "--burst") as worker:
            worker.communicate(timeout=PATIENCE_S)
        newest = redis.xrevrange("forecasts", count=1)[0][1]
    gates = seen(settings)
    answer = gates.cell.last_hidden @ model.weights["dense.kernel"][:, 0] + model.weights["dense.bias"][0]
    assert pytest.approx(float(newest[b"yhat"]), abs=1e-4) == gates.values[-1] + answer
    assert int(newest[b"origin"]) == gates.last_ts
