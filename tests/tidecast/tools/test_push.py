"""Pushing files: the order of times, speeds, and the fate of readings that cannot be sent."""

import gzip
import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tidecast.client import Client
from tidecast.errors import SettingsError
from tidecast.files.layout import Selection
from tidecast.files.readings import Row
from tidecast.settings import Settings
from tidecast.tools.push import PushResult, paced, parse_speed, push_file, push_known_file

CSV = "series,timestamp,value\na,2023-11-14T22:13:20Z,1.50\nb,2023-11-14T22:14:20Z,2.5\na,2023-11-14T22:14:20Z,3.5\n"
AT = 1_700_000_000_000
SENT = [("a", AT, "1.5"), ("a", AT + 60_000, "3.5"), ("b", AT + 60_000, "2.5")]


@pytest.fixture
def client(settings: Settings, redis: Redis) -> Iterator[Client]:  # noqa: ARG001 - it empties the server
    """A client of the emptied server."""
    with Client(settings.redis_url.get_secret_value()) as client:
        yield client


def push(client: Client, source: str, *, speed: float | None = None, pauses: list[float] | None = None) -> PushResult:
    """Push a file and return the readings."""
    pushed = PushResult()
    sleep = pauses.append if pauses is not None else time.sleep
    push_file(client, source, Selection(all_by_default=True), pushed, speed=speed, sleep=sleep)
    return pushed


def sent(redis: Redis, stream: str = "readings") -> list[dict[str, str]]:
    """Return the fields of all entries on a stream."""
    return [{k.decode(): v.decode() for k, v in fields.items()} for _, fields in redis.xrange(stream)]


def test_a_file_of_known_values_is_pushed_as_training_reads_it(client: Client, redis: Redis, tmp_path: Path) -> None:
    """A row needs one of the fields; without a column of series the values are for all."""
    (tmp_path / "p.csv").write_text("series,ts,price,plan,known_at\nb*,2030-01-02,,2,\na,2030-01-01,1,,2029-12-31\n")
    (tmp_path / "q.csv").write_text("ts,price\n2030-01-03,3\n")
    pushed = PushResult()
    for name in "pq":
        push_known_file(client, str(tmp_path / f"{name}.csv"), Selection(), pushed)
    assert (3, []) == (pushed.count, pushed.refused)
    assert [
        {"series": "a", "ts": "1893456000000", "price": "1.0", "known_at": "1893369600000"},
        {"series": "b*", "ts": "1893542400000", "plan": "2.0"},
        {"series": "*", "ts": "1893628800000", "price": "3.0"},
    ] == sent(redis, "known")


@pytest.mark.parametrize("name", ["readings.csv", "readings.csv.gz", "-"])
def test_a_file_is_pushed_in_the_order_of_its_times(
    client: Client, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Plain, compressed or from standard input, with a byte-order mark or without: no reading becomes late."""
    path = tmp_path / name
    lines = CSV.splitlines(keepends=True)
    content = "".join((lines[0], *lines[:0:-1])).encode()
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(content))
    elif name == "-":
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    else:
        path.write_bytes(b"\xef\xbb\xbf" + content)
    pushed = push(client, "-" if name == "-" else str(path))
    assert (3, []) == (pushed.count, pushed.refused)
    assert sorted(SENT) == sorted((f["series"], int(f["ts"]), f["value"]) for f in sent(redis))
    assert [AT, AT + 60_000, AT + 60_000] == [int(fields["ts"]) for fields in sent(redis)]


def test_missing_features_are_left_out_of_their_readings(client: Client, redis: Redis, tmp_path: Path) -> None:
    """A worker carries a feature itself; a row without its target is not a reading."""
    path = tmp_path / "x.csv"
    path.write_text(f"series,ts,value,wind\na,{AT},1,\na,{AT + 1},,5\na,{AT + 2},2,3\n")
    assert 2 == push(client, str(path)).count
    assert [{"series": "a", "ts": str(AT), "value": "1.0"}, {"wind": "3.0"}] == [
        sent(redis)[0],
        {"wind": sent(redis)[1]["wind"]},
    ]


@pytest.mark.parametrize("first", ["1970-01-15", "1969-12-30", "1955-01-01"])
def test_early_times_are_sent_so_that_no_unit_is_guessed(
    client: Client, redis: Redis, tmp_path: Path, first: str
) -> None:
    """A worker would take the milliseconds of early 1970 for seconds, and refuse them."""
    path = tmp_path / "x.csv"
    path.write_text(f"series,ts,value\na,{first},1\n")
    assert 1 == push(client, str(path)).count
    assert [f"{first}T00:00:00+00:00"] == [fields["ts"] for fields in sent(redis)]


def test_readings_that_a_worker_would_refuse_are_named_and_the_others_go_on(
    client: Client, redis: Redis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A time in the future costs its reading, with the worker's own sentence on standard error, once for a series."""
    path = tmp_path / "x.csv"
    path.write_text(
        f"series,ts,value\na,{AT},1\na,2200-01-01,2\na,2200-01-02,2\na,2200-01-03,2\nb,{AT},3\n".replace(
            str(AT), "2024-01-01"
        )
    )
    pushed = push(client, str(path))
    assert (2, ["a", "a"]) == (pushed.count, [refusal.series for refusal in pushed.refused])
    assert "over a day ahead" in pushed.refused[0].reason
    assert "refused: a: 2 readings more, for the same reason" in capsys.readouterr().err
    assert ["1.0", "3.0"] == [fields["value"] for fields in sent(redis)]


def test_a_replay_goes_by_the_readings_times(client: Client, redis: Redis, tmp_path: Path) -> None:
    """They are sorted over all series, with the pauses of the original at the chosen speed."""
    path = tmp_path / "readings.csv"
    path.write_text("series,ts,value\na,120000,3\nb,0,1\na,60000,2\n")
    pauses: list[float] = []
    assert 3 == push(client, str(path), speed=60, pauses=pauses).count
    assert [1.0, 1.0] == pauses
    assert ["1.0", "2.0", "3.0"] == [fields["value"] for fields in sent(redis)]


def test_moments_keep_their_distance_at_any_speed() -> None:
    """Rows of one time go together; the pause is the time between them over the speed."""
    rows = [Row(name, ts, {"value": 1.0}) for name, ts in (("a", 0), ("b", 0), ("a", 60_000), ("a", 90_000))]
    assert [(0.0, 2), (1.0, 1), (0.5, 1)] == [(pause_s, len(moment)) for pause_s, moment in paced(rows, 60)]


@pytest.mark.parametrize(("text", "factor"), [("60x", 60.0), ("60", 60.0), ("0.5x", 0.5)])
def test_a_speed_is_a_multiple(text: str, factor: float) -> None:
    """With or without the x."""
    assert factor == parse_speed(text)


@pytest.mark.parametrize("text", ["0", "0.0x", "-1", "fast", "", "1e3", "nan", "x"])
def test_a_speed_that_is_none_is_refused(text: str) -> None:
    """The sentence shows how to write one."""
    with pytest.raises(SettingsError, match="write for instance 60x"):
        parse_speed(text)
