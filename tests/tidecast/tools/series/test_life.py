"""`tidecast series`: a series is listed, shown, deleted and renamed while a worker answers."""

import json
import threading
from typing import Any

import pytest
from redis import Redis

from tests.harness.models import make_model
from tests.harness.processes import run_command
from tests.worker.harness import add, forecasts, new_worker, running
from tidecast.connection.known_stream import read_known_stream
from tidecast.connection.records.orders import orders_in
from tidecast.errors import SettingsError, StoreError, TidecastError
from tidecast.models.known.values import ALWAYS
from tidecast.models.store import ModelStore
from tidecast.settings import Settings
from tidecast.tools.series.life import SeriesRequest, change_series
from tidecast.wire import keys_of

pytestmark = pytest.mark.settings(worker={"block": "1ms"}, series={"units": {"a*": "°C", "*": "bar"}})


@pytest.fixture
def answered(redis: Redis, settings: Settings, store: ModelStore) -> Settings:
    """Settings of an installation with readings of two series, one of them with a model; no worker runs."""
    store.publish(make_model("a"))
    add(redis, *range(1, 40))
    worker = new_worker(settings)
    worker.run(threading.Event(), burst=True)  # type: ignore[arg-type] # it is set as a stop is
    return settings


def tidecast(settings: Settings, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    """Run a command on series; return its exit code and all that it prints, without the log of a worker beside it."""
    where = ["--redis", settings.redis_url.get_secret_value(), "--store", str(settings.store)]
    capsys.readouterr()
    code = run_command("series", *words, *where)
    lines = "".join(capsys.readouterr()).splitlines(keepends=True)
    return code, "".join(line for line in lines if "[info " not in line)


def test_a_series_that_cannot_be_read_is_listed_with_the_others(
    answered: Settings, redis: Redis, store: ModelStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """One state of a foreign format, and one damaged pointer, hide no other series."""
    redis.hset("state", "b", b"\x01 of another version")
    (store.folder("a") / "champion").write_text("newest")
    code, text = tidecast(answered, capsys, "list")
    assert 0 == code
    assert "\na: " in text
    assert "holds no version's number: promote one" in text
    assert "\nb: state format" in text
    rows = json.loads(tidecast(answered, capsys, "list", "--json")[1])
    assert [("a", 19, None), ("b", None, None)] == [(row["series"], row["readings"], row["champion"]) for row in rows]
    assert all(row["fault"] for row in rows)
    assert "fault: state format" in tidecast(answered, capsys, "show", "b")[1]


def test_series_are_listed_shown_renamed_and_deleted_beside_a_worker(
    answered: Settings,
    redis: Redis,
    store: ModelStore,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each command prints JSON too."""
    monkeypatch.setenv("TIDECAST_SERIES__UNITS", json.dumps(answered.series.units))

    def listed(*words: str) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(tidecast(answered, capsys, "list", *words, "--json")[1])
        return rows

    assert [("a", 1, "°C"), ("b", None, "bar")] == [(row["series"], row["champion"], row["unit"]) for row in listed()]
    assert ["b"] == [row["series"] for row in listed("b*")]
    assert "\tv1\t°C\n" in tidecast(answered, capsys, "list")[1]
    with running(new_worker(answered)):
        assert (0, "a is called c now: send its readings under that name\n") == tidecast(
            answered, capsys, "rename", "a", "c"
        )
        add(redis, 40, series=("b",))  # the worker may answer it before the command, which waits for it
        for _ in range(2):  # a repeated call changes nothing
            assert {"series": "b", "models": "none", "entries": "deleted"} == json.loads(
                tidecast(answered, capsys, "delete", "b", "--yes", "--json")[1]
            )
        assert {"a"} == {made.series for made in forecasts(redis)}
        assert 19 == redis.xlen("readings")
    assert ["c"] == [row["series"] for row in listed()] == store.series()
    shown = json.loads(tidecast(answered, capsys, "show", "c", "--json")[1])
    assert (["a"], [1], True) == (shown["former_names"], shown["versions"], shown["state_bytes"] > 100)
    assert "former names: a" in tidecast(answered, capsys, "show", "c")[1]
    assert (1, "tidecast: series 'cc' does not exist: did you mean 'c'?\n") == tidecast(answered, capsys, "show", "cc")


def test_what_is_known_ahead_goes_with_its_series(answered: Settings, redis: Redis) -> None:
    """With a new name the values are known since the same moments; entries of patterns stay."""
    for name in ("a*", "a", "b"):
        redis.xadd("known", {"series": name, "ts": 4_000_000_000_000, "price": 1, "plan": 2}, id=f"{ord(name[-1])}-0")
    redis.xadd("known", {"series": "a", "ts": 99, "price": 3})
    with pytest.raises(TidecastError, match="no worker holds"):
        change_series(answered, SeriesRequest(series="a", new="c"), 0.05)
    with running(new_worker(answered)):
        change_series(answered, SeriesRequest(series="a", new="c"), 60)
        change_series(answered, SeriesRequest(series="b", purging=True), 60)
    first, *others = (fields[b"series"] for _, fields in redis.xrange("known"))
    assert (b"a*", {b"c"}) == (first, set(others))  # the worker may rename before the second call, which copies no more
    values = read_known_stream(redis, answered)
    assert {("c", "price", 97), ("c", "plan", 97), ("c", "price", ALWAYS)} == {
        (source, name, moment) for source, name, _, moments, _ in values.of("c") for moment in moments
    }


def test_without_a_worker_the_order_stays_and_the_next_call_waits_for_it(answered: Settings, redis: Redis) -> None:
    """The command reports that no worker runs, and does not leave a second order."""
    request = SeriesRequest(series="a", new="c")
    for _ in range(2):
        with pytest.raises(TidecastError, match=r"no worker holds readings.*the order stays"):
            change_series(answered, request, 0.05)
        assert 1 == len(list(orders_in(redis, keys_of())))
    with running(new_worker(answered)):
        change_series(answered, request, 60)
    assert {b"b", b"c"} == {name for name in redis.hkeys("state") if b"\x1f" not in name}


def test_models_that_the_worker_could_not_change_are_changed_by_the_command(
    answered: Settings, store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker may have no right to write the store; if the command dies meanwhile, the next one completes it."""
    delete = ModelStore.delete

    def refusing(self: ModelStore, series: str) -> bool:
        if threading.current_thread() is threading.main_thread():
            return delete(self, series)
        raise StoreError("not yours")

    monkeypatch.setattr(ModelStore, "delete", refusing)
    with running(new_worker(answered)):
        change_series(answered, SeriesRequest(series="a"), 60)
        assert [] == store.series()
        change_series(answered, SeriesRequest(series="b"), 60)
        assert ["a", "b"] == [ending.series for ending in store.endings()]  # training must know, without a model too
        store.publish(make_model("a"))
        assert "deleted" == change_series(answered, SeriesRequest(series="a"), 60)
    assert [] == store.series()


def test_names_that_cannot_be_taken_are_refused_before_an_order_is_left(answered: Settings, redis: Redis) -> None:
    """An unknown series, the same name, an existing one, and a name that no reading can have."""
    for series, new, error in (
        ("aa", None, "series 'aa' does not exist: did you mean 'a'"),
        ("a", "a", "is the name already"),
        ("a", "b", "'b' has answered readings already"),
        ("a", "x\n", "control characters"),
    ):
        with pytest.raises((StoreError, SettingsError, ValueError), match=error):
            change_series(answered, SeriesRequest(series=series, new=new), 1)
    assert [] == list(orders_in(redis, keys_of()))
