"""The pure core: a batch of entries in, forecasts, dead letters, counts and states out."""

from dataclasses import replace
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from tests.harness.models import make_model, make_shared, random_panel
from tests.harness.states import all_whole, whole
from tidecast.errors import StateError
from tidecast.models import experts
from tidecast.models.experts import EXPERTS, LinearExperts
from tidecast.models.gross_errors import Doubt
from tidecast.models.model import Model
from tidecast.models.outlier_guard import OutlierGuard, farthest
from tidecast.models.spec import Spec
from tidecast.online.batch import BatchResult, Entry
from tidecast.online.engine import PredictionRequest
from tidecast.online.forecaster import Forecaster
from tidecast.online.intervals import Tracker
from tidecast.online.kernels.scoring import FIRST_ERRORS
from tidecast.settings import SeriesSettings
from tidecast.wire import DISPOSITIONS, Forecast

NOW_MS = 1_700_000_000_000
SETTINGS = SeriesSettings()
SPEC = Spec(window=4, units=3)
CLOSE = 1e-5  # how far the compiled network may be from its definition


def entry(n: int, series: str = "a", value: object = 1.0, **fields: object) -> Entry:
    """Return the n-th entry, a second after the one before unless set otherwise."""
    named = {"series": series, "value": value, "ts": n * 1000, **fields}
    return f"{n}-0", {name.encode(): str(v).encode() for name, v in named.items() if v is not None}


def forecaster_with(*models: Model, settings: SeriesSettings = SETTINGS, shared: Model | None = None) -> Forecaster:
    """Return a forecaster with these champions, and the network of a cohort."""
    forecaster = Forecaster(settings)
    if shared:
        forecaster.set_shared_network(shared.header.series, shared)
    for model in models:
        forecaster.set_model(model.header.series, 1, model)
    return forecaster


def ask(forecaster: Forecaster, *entries: Entry) -> BatchResult:
    """Handle one batch."""
    return forecaster.handle(entries, NOW_MS)


def only(outcome: BatchResult) -> Forecast:
    """Return the one forecast of a batch."""
    (forecast,) = outcome.forecasts
    return forecast


def test_the_first_reading_of_an_unknown_series_is_answered_by_its_value() -> None:
    """It has its own id, comes at once, and has no bounds, which are unknown."""
    assert Forecast("5-0", "new", None, 42.5, None, None, 0.9, 5000, None, "naive", 42.5) == only(
        ask(Forecaster(SETTINGS), entry(5, "new", 42.5))
    )


def test_the_second_reading_settles_the_first_forecast() -> None:
    """It sets the step, the error, and a first interval."""
    forecaster = Forecaster(SETTINGS)
    ask(forecaster, entry(1, value=10.0))
    second = only(ask(forecaster, entry(2, value=12.0)))
    assert (3000, 12.0, 2.0, None) == (second.ts, second.yhat, second.error, second.anomaly_score)
    assert second.yhat_lower is not None
    assert second.yhat_upper is not None
    assert 12.0 - second.yhat_lower == pytest.approx(second.yhat_upper - 12.0)
    third = only(ask(forecaster, entry(3, value=100.0)))
    assert third.error == 88.0
    assert third.anomaly_score is not None
    assert third.anomaly_score == pytest.approx(88.0 / (12.0 - second.yhat_lower))


def test_a_model_answers_as_soon_as_its_window_is_full() -> None:
    """The forecast is the last value until then, and afterwards the network's answer to the window."""
    model = make_model("a", SPEC)
    forecaster = forecaster_with(model)
    made = [*ask(forecaster, *(entry(n, value=float(n * n)) for n in range(1, 7))).forecasts]
    assert ["naive", "naive", "naive", "lstm", "lstm", "lstm"] == [f.kind for f in made]
    assert [1] * 6 == [f.model for f in made]
    for last in (4, 5, 6):
        window = np.array([[float(n * n)] for n in range(last - 3, last + 1)])
        assert pytest.approx(float(model.forecast(window[None])[0]), abs=CLOSE) == made[last - 1].yhat


def test_a_models_step_stands_from_the_first_reading_on() -> None:
    """The model's step gives the time of the forecast without a second reading."""
    assert 1250 == only(ask(forecaster_with(make_model("a", SPEC, step_ms=250)), entry(1))).ts


def test_each_new_version_begins_with_its_own_interval() -> None:
    """Its first forecast is bounded by its residuals, whatever the errors of those before it; the next ones adapt."""
    forecaster = forecaster_with(make_model("a", SPEC, span=(0, 0)))
    made = [*ask(forecaster, *(entry(n, value=float(100 * n)) for n in range(1, 7))).forecasts]
    forecaster.set_model("a", 2, make_model("a", SPEC, seed=1, span=(0, 0)))
    made += [*ask(forecaster, *(entry(n, value=float(100 * n)) for n in range(7, 9))).forecasts]
    halves = [f.yhat_upper - f.yhat for f in made if f.yhat_upper is not None]
    own = [half == pytest.approx(2.0) for half in halves]
    assert [True, *[False] * 5, True, False] == own


def test_each_new_version_begins_its_further_intervals_anew() -> None:
    """Its errors at those levels are unknown before the first of them; then each level learns by itself."""
    forecaster = forecaster_with(make_model("a", SPEC, span=(0, 0)), settings=SeriesSettings(more_levels=(0.5,)))
    made = [*ask(forecaster, *(entry(n, value=float(n * n)) for n in range(1, 7))).forecasts]
    forecaster.set_model("a", 2, make_model("a", SPEC, seed=1, span=(0, 0)))
    made += [*ask(forecaster, *(entry(n, value=float(n * n)) for n in range(7, 9))).forecasts]
    assert [0, *[2] * 5, 0, 2] == [len(f.more) for f in made]
    assert [FIRST_ERRORS + 1, 1] == [tracker.errors for tracker in forecaster.states["a"].trackers]


@pytest.mark.parametrize("until", [0, 5000, 5999, 6000, 9000])
def test_a_model_is_not_judged_on_readings_that_it_has_learned_from(until: int) -> None:
    """Neither its experts' records nor its interval move until readings come that are later than all of those."""
    model = make_model("a", SPEC, panel=random_panel(2), span=(0, until))
    forecaster = forecaster_with(model)
    moved = []
    for n in range(1, 10):
        before = forecaster.states["a"].errors.copy() if n > 1 else model.panel.errors
        made = only(ask(forecaster, entry(n, value=float(n * n % 7))))
        assert (n == 1) == (made.error is None)  # the score is given all the same
        moved.append(not np.array_equal(before, forecaster.states["a"].errors, equal_nan=True))
        assert FIRST_ERRORS + moved.count(True) == forecaster.states["a"].trackers[0].errors
    assert [n > 1 and 1000 * n > until for n in range(1, 10)] == moved


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(st.lists(st.floats(-100, 100), min_size=1, max_size=30), st.integers(0, 50), st.integers(0, 30))
def test_the_forecast_is_the_blend_of_all_experts(values: list[float], seed: int, until: int) -> None:
    """Reading by reading, the answers are weighted by the experts' records, which learn in between."""
    network = make_shared("seconds", seed=seed)
    model = make_model(
        "a", SPEC, seed=seed, panel=random_panel(seed), seasons=(7,), span=(0, 1000 * until), shared="seconds"
    )
    forecaster = forecaster_with(model, shared=network)
    made = [*ask(forecaster, *(entry(n, value=v) for n, v in enumerate(values))).forecasts]
    slot = forecaster.engine.slot("a")
    errors = model.panel.errors
    count = model.rows_with(network)
    stood = None
    guard = OutlierGuard()
    blended = np.nan
    doubt = Doubt()
    for n, value in enumerate(values):
        rows = np.array(values[: n + 1])[-count:, None]
        (answers,) = forecaster.engine.answers([PredictionRequest(slot, "seconds", rows, 1000 * (n + 1))])
        if stood is not None:
            doubt, _ = doubt.take(np.array(values[:n]), value)
            assert not doubt.run
            if n > until:
                errors = experts.learn(errors, stood, value, farthest(doubt.moves.usual))
            guard = guard.learn(values[n - 1], blended if n > until else np.nan, value, doubt.moves.usual)
        weights = experts.shares(errors, answers)
        stood = answers
        blended = experts.blend(weights, answers)
        assert made[n].kind == ("naive" if guard.distrusts else EXPERTS[weights.argmax()])
        assert guard.answer(value, blended, doubt.moves.usual) == pytest.approx(made[n].yhat, rel=1e-9, abs=1e-12)
        assert made[n].error == (None if n == 0 else value - made[n - 1].yhat)


def test_a_model_that_goes_wrong_loses_its_say_within_readings() -> None:
    """No operator is needed: the last value takes over, and the model's version is still the one that is named."""
    model = make_model(
        "a", SPEC, panel=replace(LinearExperts.naive(1.0), errors=np.full((2, len(EXPERTS)), 1.0)), span=(0, 0)
    )
    wrong = Model(model.header, {**model.weights, "dense.bias": np.full(1, 50.0, np.float32)}, model.panel)
    rng = np.random.default_rng(0)
    made = [*ask(forecaster_with(wrong), *(entry(n, value=float(rng.normal())) for n in range(1, 12))).forecasts]
    assert {1} == {f.model for f in made}
    assert ["naive"] * 7 == [f.kind for f in made[4:]]
    assert abs(made[3].yhat - made[3].y) > 10
    assert max(abs(f.yhat - f.y) for f in made[6:]) < 1e-3


def test_filled_steps_are_counted_in_a_models_window_only() -> None:
    """The forecast gives the number of unmeasured values that it rests on."""
    forecaster = forecaster_with(make_model("a", SPEC))
    made = [*ask(forecaster, *(entry(n) for n in (1, 2, 4, 5, 6, 7))).forecasts]
    assert [0, 0, 1, 1, 1, 0] == [f.filled for f in made]
    assert ["naive", "naive", "lstm"] == [f.kind for f in made][:3]


def test_every_reading_ends_with_exactly_one_disposition() -> None:
    """Forecast, duplicate, late or dead; the counts sum, and each forecast and letter has its reading's id."""
    forecaster = Forecaster(SETTINGS)
    entries = [
        entry(1),
        entry(2),
        entry(3, ts=2000),  # duplicate
        entry(4, ts=500),  # late
        entry(5, value="nan"),
        entry(6, value=None),
        entry(7, series=""),
        entry(8, ts="soon"),
        ("9-0", {}),
        ("10-0", {b"\xff": b"\xff", b"series": b"\xff"}),
        entry(11, ts=11_000),
        ("18446744073709551615-18446744073709551615", {b"series": b"a", b"value": b"1"}),
    ]
    outcome = ask(forecaster, *entries)
    assert {"forecast": 4, "duplicate": 1, "late": 1, "dead": 6} == dict(outcome.counts)
    assert ["1-0", "2-0", "11-0", f"{2**64 - 1}-{2**64 - 1}"] == [f.id for f in outcome.forecasts]
    assert [
        ("5-0", "bad_value"),
        ("6-0", "no_value"),
        ("7-0", "no_series"),
        ("8-0", "bad_ts"),
        ("9-0", "no_series"),
        ("10-0", "bad_series"),
    ] == [(letter.id, letter.reason) for letter in outcome.dead]
    assert f"{2**64 - 1}-{2**64 - 1}" == outcome.last


def untimed(entry_id: str, series: str = "a", value: float = 1.0) -> Entry:
    """Return an entry without a `ts`."""
    return entry_id, {b"series": series.encode(), b"value": b"%r" % value}


AHEAD = NOW_MS + 60_001  # more than a minute


@pytest.mark.parametrize(
    ("ids", "origins"),
    [
        (["5-0", "5-1", "5-2", "6-0", "9-0"], [5, 6, 7, 8, 9]),  # many in one millisecond, and slower ones after them
        ([f"{AHEAD - 1}-0", f"{AHEAD - 1}-1"], [AHEAD - 1, AHEAD]),  # the clocks differ a little
        ([f"{AHEAD}-0", f"{AHEAD}-1", f"{AHEAD}-2"], [NOW_MS, NOW_MS + 1, NOW_MS + 2]),
        (["7-0", f"{2**64 - 1}-0", f"{2**64 - 1}-{2**64 - 1}"], [7, NOW_MS, NOW_MS + 1]),
        ([f"{AHEAD - 1}-0", f"{AHEAD}-0"], [AHEAD - 1, AHEAD]),  # never back
    ],
)
@pytest.mark.parametrize("model", [False, True])
def test_without_a_time_a_higher_id_is_a_new_reading(ids: list[str], origins: list[int], model: bool) -> None:
    """The time in an id is ignored: otherwise one id in the far future would make all later readings duplicates."""
    together = forecaster_with(*[make_model("a", SPEC)] * model)
    one_by_one = forecaster_with(*[make_model("a", SPEC)] * model)
    assert origins == [made.origin for made in ask(together, *map(untimed, ids)).forecasts]
    assert origins == [only(ask(one_by_one, untimed(entry_id))).origin for entry_id in ids]


def test_readings_with_and_without_a_time_share_one_order() -> None:
    """A `ts` that is not later is a duplicate or late, as usual; a reading without one comes after it."""
    forecaster = Forecaster(SETTINGS)
    outcome = ask(
        forecaster,
        entry(1, ts=5),
        untimed("2-0"),
        untimed("6-0"),
        entry(7, ts=6),
        entry(8, ts=7),
        entry(9, ts=20),
        untimed("9-1"),
        untimed("9-2", "b"),
    )
    assert [("1-0", 5), ("2-0", 6), ("6-0", 7), ("9-0", 20), ("9-1", 21), ("9-2", 9)] == [
        (made.id, made.origin) for made in outcome.forecasts
    ]
    assert {"forecast": 6, "late": 1, "duplicate": 1} == dict(outcome.counts)


def test_a_bad_reading_leaves_its_series_untouched() -> None:
    """The window neither moves nor forgets, and no state is written for it."""
    forecaster = Forecaster(SETTINGS)
    ask(forecaster, entry(1))
    before = whole(forecaster.states["a"])
    outcome = ask(forecaster, entry(2, value="inf"), entry(3, ts=1000), entry(4, ts=10), entry(5, "b", value=""))
    assert {} == outcome.states
    assert before == whole(forecaster.states["a"])
    assert {"a"} == set(forecaster.states)


def test_only_touched_series_are_stored() -> None:
    """A commit is as large as its batch."""
    forecaster = Forecaster(SETTINGS)
    ask(forecaster, *(entry(1, name) for name in "abc"))
    outcome = ask(forecaster, entry(2, "b"), entry(3, "b"))
    assert {"b": whole(forecaster.states["b"])} == all_whole(outcome.states)


BAD: dict[str, Any] = {"value": "x"}
readings = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([1000, 1000, 1000, 2000, 0, -3000, 50_000]),
        st.floats(-1e4, 1e4),
        st.sampled_from([False, False, False, True]),
    ),
    min_size=1,
    max_size=40,
)


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(readings, st.lists(st.integers(1, 5), min_size=40, max_size=40))
def test_however_batched_and_restarted_the_forecasts_are_bit_equal(
    history: list[tuple[str, int, float, bool]], sizes: list[int]
) -> None:
    """One batch in one life, or many batches with a restart from the stored states after each: no difference."""
    models = [
        make_model("a", SPEC, seed=1, panel=random_panel(1), seasons=(5,), shared="seconds", span=(0, 15_000)),
        make_model("b", Spec(window=3, units=4, layers=2), seed=2, gridded=False, span=(0, 0)),
    ]
    network = make_shared("seconds")
    settings = SeriesSettings(rows_kept=2, horizon=3, more_levels=(0.5, 0.99), minimum=-5000.0)
    ts = 10_000
    entries = []
    for n, (series, delta, value, bad) in enumerate(history, 1):
        ts = max(1, ts + delta)
        entries.append(entry(n, series, "x" if bad else value, ts=ts))
    undisturbed = ask(forecaster_with(*models, settings=settings, shared=network), *entries)
    stored: dict[str, bytes] = {}
    made: list[Forecast] = []
    counts = dict.fromkeys(DISPOSITIONS, 0)
    left = list(entries)
    for size in sizes:
        part = left[:size]
        left = left[size:]
        if not part:
            break
        forecaster = Forecaster(settings)
        forecaster.restore(stored)  # before the models or after, as a worker that takes over
        forecaster.set_shared_network("seconds", network)
        for model in models:
            forecaster.set_model(model.header.series, 1, model)
        outcome = ask(forecaster, *part)
        stored |= outcome.states
        made += outcome.forecasts
        counts = {name: counts[name] + outcome.counts[name] for name in counts}
    assert [*undisturbed.forecasts] == made
    assert all_whole(undisturbed.states) == all_whole(stored)
    assert {name: undisturbed.counts[name] for name in counts} == counts
    assert len(entries) == sum(counts.values())


def test_a_damaged_state_is_refused_as_a_whole() -> None:
    """No part of a damaged state is taken over: the memory from before stays."""
    forecaster = Forecaster(SETTINGS)
    ask(forecaster, entry(1))
    good = forecaster.states["a"].head()
    with pytest.raises(StateError):
        forecaster.restore({"a": good, "b": good[:-1]})
    assert {"a"} == set(forecaster.states)


def test_a_new_model_answers_from_the_next_batch_on() -> None:
    """With a longer window, further features and another step, on all that is known of the series."""
    forecaster = forecaster_with(make_model("a", SPEC))
    ask(forecaster, *(entry(n, value=float(n), wind=n / 2) for n in range(1, 9)))
    wider = make_model("a", Spec(window=6, units=3, features=("wind",)), seed=5)
    forecaster.set_model("a", 2, wider)
    forecast = only(ask(forecaster, entry(9, value=9.0, wind=4.5)))
    window = np.array([[[n, np.nan] for n in range(4, 9)] + [[9.0, 4.5]]])
    assert (2, "lstm") == (forecast.model, forecast.kind)
    assert pytest.approx(float(wider.forecast(window)[0]), abs=CLOSE) == forecast.yhat
    assert forecast.error is not None


def test_a_dismissed_model_leaves_the_last_value() -> None:
    """The series goes on without it, with its readings' own step."""
    forecaster = forecaster_with(make_model("a", SPEC, step_ms=1000))
    ask(forecaster, *(entry(n) for n in range(1, 8)))
    forecaster.remove_model("a")
    forecast = only(ask(forecaster, entry(8, value=3.0)))
    assert ("naive", None, 3.0, 9000) == (forecast.kind, forecast.model, forecast.yhat, forecast.ts)


def test_a_state_whose_model_is_gone_is_answered_all_the_same() -> None:
    """A store that was lost does not stop the series: its features and window stay as they are."""
    wide = make_model("a", Spec(window=60, units=2, features=("wind",)))
    forecaster = forecaster_with(wide)
    stored = ask(forecaster, *(entry(n, wind=1) for n in range(1, 80))).states
    alone = Forecaster(SETTINGS)
    alone.restore(stored)
    forecast = only(ask(alone, entry(80, value=5.0)))
    assert ("naive", 5.0, 81_000) == (forecast.kind, forecast.yhat, forecast.ts)
    again = forecaster_with(wide)
    again.restore(stored)
    assert only(ask(again, entry(80, value=5.0))).kind == "lstm"


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # the overflow is the point
def test_a_model_that_answers_no_number_is_answered_for_by_the_last_value() -> None:
    """NaN and infinity never reach the stream."""
    model = make_model("a", Spec(window=2, units=2))
    broken = Model(model.header, {name: w * np.float32(np.nan) for name, w in model.weights.items()}, model.panel)
    forecaster = forecaster_with(broken)
    made = [*ask(forecaster, *(entry(n, value=float(n)) for n in range(1, 5))).forecasts]
    assert [("naive", 1, float(n)) for n in range(1, 5)] == [(f.kind, f.model, f.yhat) for f in made]


@pytest.mark.parametrize("values", [[3.4e38, -3.4e38] * 4, [1e-45, 0.0, -0.0, 1e-300] * 2, [5.0] * 8])
def test_extreme_values_are_answered_with_finite_numbers(values: list[float]) -> None:
    """The largest, the smallest and a constant: all arithmetic stays within bounds."""
    forecaster = forecaster_with(make_model("a", SPEC))
    for forecast in ask(forecaster, *(entry(n, value=value) for n, value in enumerate(values, 1))).forecasts:
        numbers = [forecast.yhat, forecast.yhat_lower, forecast.yhat_upper, forecast.error, forecast.anomaly_score]
        assert all(np.isfinite(number) for number in numbers if number is not None)


@pytest.mark.parametrize("ts", ["-999999999999999", "0", "1700000000000"])
def test_times_of_any_age_are_answered_and_stored(ts: str) -> None:
    """The oldest time that is accepted fits the state, and so does the step to the newest."""
    forecaster = Forecaster(SETTINGS)
    outcome = ask(forecaster, entry(1, ts=ts), entry(2, ts="1700086400000"))
    assert 2 == outcome.counts["forecast"]
    assert {"a": whole(forecaster.states["a"])} == all_whole(outcome.states)


def test_a_bad_feature_is_named_and_a_missing_one_carried() -> None:
    """Only the model's own features are looked at."""
    forecaster = forecaster_with(make_model("a", Spec(window=2, units=2, features=("wind",))))
    outcome = ask(
        forecaster,
        entry(1, wind=3),
        entry(2),
        entry(3, wind="calm"),
        entry(4, wind=5, junk="x"),
        entry(5, "b", wind="calm"),
    )
    assert ["3-0"] == [letter.id for letter in outcome.dead]
    assert "'wind'" in outcome.dead[0].detail
    np.testing.assert_array_equal([3, 3, 4, 5], forecaster.states["a"].window.rows[:, 1])


def test_another_target_starts_anew_but_not_in_time() -> None:
    """The window of one field is useless for another; readings that were answered stay answered."""
    forecaster = Forecaster(SeriesSettings())
    for t in range(3):
        forecaster.handle(
            [(f"{t + 1}-0", {b"series": b"a", b"value": b"5", b"temp": b"9", b"ts": b"%d" % (1000 * t)})], 0
        )
    forecaster.set_model("a", 1, make_model("a", Spec(target="temp", window=4, units=3)))
    again = forecaster.handle([("8-0", {b"series": b"a", b"temp": b"9", b"ts": b"2000"})], 0)
    assert {"duplicate": 1} == +again.counts
    new = forecaster.handle([("9-0", {b"series": b"a", b"temp": b"9", b"ts": b"3000"})], 0).forecasts[0]
    assert (9.0, None, "naive") == (new.y, new.error, new.kind)


@pytest.mark.parametrize("model", [None, make_model("a", SPEC, half_width=3.0, span=(0, 0))])
def test_every_further_level_has_an_interval_of_its_own(model: Model | None) -> None:
    """Each learns from the same errors at its own pace; only the first starts from the model's own residuals."""
    settings = SeriesSettings(level=0.8, more_levels=(0.5, 0.999))
    forecaster = forecaster_with(*([model] if model else []), settings=settings)
    trackers = [Tracker(), Tracker(), Tracker()]
    if model:
        trackers[0].begin(3.0)
    for n in range(1, 40):
        made = only(ask(forecaster, entry(n, value=float(n * n % 11))))
        for tracker, level in zip(trackers, (0.8, 0.5, 0.999), strict=True):
            if made.error is not None:
                tracker.settle(made.error, level)
        first, *others = (tracker.known for tracker in trackers)
        assert (first is None) == (made.yhat_lower is None)
        if first is not None:
            assert (made.yhat - first, made.yhat + first) == (made.yhat_lower, made.yhat_upper)
        expected: dict[str, float] = {}
        for name, half in zip(("50", "99.9"), others, strict=True):
            if half is not None:
                expected |= {f"yhat_lower_{name}": made.yhat - half, f"yhat_upper_{name}": made.yhat + half}
        assert list(expected.items()) == list(made.more)
    assert len(expected) == 4


@pytest.mark.parametrize(("levels", "errors"), [((), [8]), ((0.5, 0.99), [8, 1, 1]), ((0.5,), [8, 8])])
def test_a_restart_with_other_levels_keeps_the_first_interval(levels: tuple[float, ...], errors: list[int]) -> None:
    """The others start afresh, and a level that is not set any more is removed."""
    before = Forecaster(SeriesSettings(more_levels=(0.5,)))
    stored = ask(before, *(entry(n, value=float(n % 3)) for n in range(1, 9))).states
    after = Forecaster(SeriesSettings(more_levels=levels))
    after.restore(stored)
    made = only(ask(after, entry(9, value=5.0)))
    half = before.states["a"].trackers[0].pending
    assert half is not None
    assert 3.0 / half == made.anomaly_score
    assert errors == [tracker.errors for tracker in after.states["a"].trackers]
    assert 2 * len(levels) == len(made.more)


def test_no_forecast_and_no_interval_leaves_its_bounds() -> None:
    """The error is that of the published forecast."""
    settings = SeriesSettings(minimum=0.0, maximum=10.0, more_levels=(0.5,), horizon=3)
    forecaster = forecaster_with(make_model("a", SPEC, span=(0, 0), half_width=50.0), settings=settings)
    values = [5.0, -3.0, 4.0, 25.0, 30.0, -40.0, 0.0, 10.0, 500.0, 3.0]
    made = [*ask(forecaster, *(entry(n, value=v) for n, v in enumerate(values, 1))).forecasts]
    for forecast in made:
        numbers = (forecast.yhat, forecast.yhat_lower, forecast.yhat_upper, *(value for _, value in forecast.more))
        assert all(0.0 <= number <= 10.0 for number in numbers if number is not None)
    assert [v - f.yhat for v, f in zip(values[1:], made, strict=False)] == [f.error for f in made[1:]]
    assert [5.0, 0.0, 4.0] == [f.yhat for f in made[:3]]  # the last value's, within bounds
    assert [(0.0, 10.0)] * 3 == [(f.yhat_lower, f.yhat_upper) for f in made[:3]]


def rising(cohort: str, step_ms: float = 1000.0) -> Model:
    """Return a cohort's network with one rule: a window of 5 that rises by the same each step will rise by as much."""
    network = make_shared(cohort, step_ms=step_ms)
    silent = {name: np.zeros_like(w) for name, w in network.weights.items()}
    return Model(network.header, silent | {"dense.bias": np.full(1, 0.5**0.5, np.float32)}, network.panel)


def test_a_young_series_is_served_by_the_network_of_its_cohort() -> None:
    """From the fifth row on it may answer, and once its first error was good it decides; no model is named."""
    forecaster = forecaster_with(settings=SeriesSettings(rows_kept=2), shared=rising("seconds"))
    made = [*ask(forecaster, *(entry(n, value=float(2 * n)) for n in range(1, 10))).forecasts]
    assert ["naive"] * 5 + ["shared_lstm"] * 4 == [f.kind for f in made]
    assert [2.0, 4.0, 6.0, 8.0, 10.0] == [f.yhat for f in made[:5]]
    assert [14.0, 16.0, 18.0, 20.0] == pytest.approx([f.yhat for f in made[5:]], abs=1e-5)
    assert {None} == {f.model for f in made}


@pytest.mark.parametrize(("step", "kind"), [(1000, "shared_lstm"), (1005, "shared_lstm"), (2000, "naive")])
def test_a_young_series_belongs_to_the_cohort_of_its_own_step(step: int, kind: str) -> None:
    """Of another step, the last value answers."""
    forecaster = forecaster_with(shared=rising("seconds"))
    made = [*ask(forecaster, *(entry(n, value=float(n), ts=n * step) for n in range(1, 10))).forecasts]
    assert kind == made[-1].kind


def test_a_network_that_a_cohort_gets_later_serves_the_series_that_are_there() -> None:
    """A series with a model keeps the rows that it reads, one without goes on with those that it has."""
    model = make_model("a", SPEC, shared="seconds", seasons=(30,), span=(0, 0))
    forecaster = forecaster_with(model, settings=SeriesSettings(rows_kept=6))
    ask(forecaster, *(entry(n, series, value=float(n)) for n in range(1, 9) for series in "ab"))
    forecaster.set_shared_network("seconds", rising("seconds"))
    ask(forecaster, *(entry(n, series, value=float(n)) for n in range(9, 60) for series in "ab"))
    assert (34, 34) == (forecaster.rows_read("a"), forecaster.states["a"].window.length)
    assert 6 == forecaster.states["b"].window.length
    last = [*ask(forecaster, entry(60, "a", value=60.0), entry(60, "b", value=60.0)).forecasts]
    assert [("a", "shared_lstm", 1), ("b", "shared_lstm", None)] == [(f.series, f.kind, f.model) for f in last]


def test_without_a_grid_no_silence_fills_or_restarts_a_window() -> None:
    """Readings at no regular step: each is the row after the last, and the next one is expected a step later."""
    model = make_model("a", SPEC, gridded=False)
    times = [1000, 2000, 2500, 6000, 400_000, 401_000, 9_000_000, 9_000_001]
    entries = [entry(n, value=float(n * n), ts=ts) for n, ts in enumerate(times, 1)]
    made = [*ask(forecaster_with(model), *entries).forecasts]
    assert [ts + 1000 for ts in times] == [f.ts for f in made]
    assert ["naive"] * 3 + ["lstm"] * 5 == [f.kind for f in made]
    assert {0} == {f.filled for f in made}
    for n in range(4, 9):
        window = np.array([[[float(i * i)] for i in range(n - 3, n + 1)]])
        assert pytest.approx(float(model.forecast(window)[0]), abs=CLOSE) == made[n - 1].yhat


def test_filled_rows_that_no_expert_reads_are_not_counted() -> None:
    """The last value of a series without a model never rests on them, however many its window remembers."""
    forecaster = Forecaster(SETTINGS)
    made = [*ask(forecaster, *(entry(n) for n in (1, 2, 3, 5, 6, 9, 10))).forecasts]
    assert {0} == {f.filled for f in made}
    assert 3 == forecaster.states["a"].window.filled_in(20)
