"""Pushing files: columns, times, speeds, and a sentence for every broken one."""

import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from tidecast import replay
from tidecast.client import Client
from tidecast.errors import HistoryError
from tidecast.replay import Row
from tidecast.settings import Settings

CSV = "series,timestamp,value\na,2023-11-14T22:13:20Z,1.5\nb,1700000060000,2.5\na,2023-11-14 22:14:20,3.5\n"
AT = 1_700_000_000_000
ROWS = [
    Row("a", AT, {"value": "1.5"}),
    Row("b", AT + 60_000, {"value": "2.5"}),
    Row("a", AT + 60_000, {"value": "3.5"}),
]


def rows_of(text: str) -> list[Row]:
    """The rows of a CSV text."""
    return list(replay.read_rows(io.StringIO(text, newline=""), "x.csv"))


def test_rows_are_series_time_and_value() -> None:
    """Times with an offset, in milliseconds, or in UTC if they have none."""
    assert ROWS == rows_of(CSV)


def test_the_columns_of_forecasting_libraries_mean_the_same() -> None:
    """`unique_id,ds,y` in any order."""
    assert [Row("a", AT, {"value": "1.5"})] == rows_of(f"y,unique_id,ds\n1.5,a,{AT}\n")


def test_further_columns_are_features_and_empty_cells_are_left_out() -> None:
    """A row without any value is passed over."""
    text = f"series,ts,load,wind\na,{AT},1,\na,{AT + 1},,\na,{AT + 2},,3\n"
    assert [{"load": "1"}, {"wind": "3"}] == [row.values for row in rows_of(text)]


def test_numbers_go_on_the_wire_as_they_are_written() -> None:
    """Nothing is rounded or mended on the way; the worker judges."""
    assert [{"value": "0.1000"}, {"value": "n/a"}] == [
        row.values for row in rows_of("series,ts,value\na,1,0.1000\na,2,n/a\n")
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no column series or unique_id in an empty file"),
        ("name,ts,value\na,1,2\n", "no column series or unique_id in name, ts, value"),
        ("series,value\na,1\n", "no column timestamp or ds or ts"),
        ("series,ts\na,1\n", "no column of values beside series, ts"),
        ("series,ts,value\na,1,2\n,1,2\n", "line 3: the series is empty"),
        ("series,ts,value\na,soon,2\n", "line 2: 'soon' is no time"),
        ("series,ts,value\na,,2\n", "line 2: '' is no time"),
        ("value,series,ts\n2,a\n", "line 2: '' is no time"),
        ("series,ts,value\na," + "9" * 5000 + ",2\n", "line 2: '9"),
    ],
)
def test_a_broken_file_is_a_sentence_with_its_line(text: str, sentence: str) -> None:
    """Every message names the file and what to mend."""
    with pytest.raises(HistoryError) as caught:
        rows_of(text)
    assert sentence in str(caught.value)
    assert str(caught.value).startswith("x.csv")


def test_moments_keep_their_distance_at_any_speed() -> None:
    """Rows of one time go together; the pause is the time between them over the speed."""
    rows = [Row(name, ts, {"value": "1"}) for name, ts in (("a", 0), ("b", 0), ("a", 60_000), ("a", 90_000))]
    assert [(0.0, 2), (1.0, 1), (0.5, 1)] == [(pause_s, len(moment)) for pause_s, moment in replay.paced(rows, 60)]


@pytest.mark.parametrize(("text", "factor"), [("60x", 60.0), ("60", 60.0), ("0.5x", 0.5)])
def test_a_speed_is_a_multiple(text: str, factor: float) -> None:
    """With or without the x."""
    assert factor == replay.parse_speed(text)


@pytest.mark.parametrize("text", ["0", "0.0x", "-1", "fast", "", "1e3", "nan", "x"])
def test_a_speed_that_is_none_is_refused(text: str) -> None:
    """The sentence shows how to write one."""
    with pytest.raises(HistoryError, match="write for instance 60x"):
        replay.parse_speed(text)


@pytest.fixture
def client(settings: Settings, redis: Redis) -> Iterator[Client]:  # noqa: ARG001 - it empties the server
    """A client of the emptied server."""
    with Client(settings.redis_url.get_secret_value()) as client:
        yield client


@pytest.mark.parametrize("name", ["readings.csv", "readings.csv.gz", "-"])
def test_a_file_is_pushed_as_it_is(
    client: Client, redis: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Plain, compressed or from standard input, with a byte-order mark or without, in the file's order."""
    path = tmp_path / name
    if name.endswith(".gz"):
        path.write_bytes(gzip.compress(CSV.encode()))
    elif name == "-":
        monkeypatch.setattr(sys, "stdin", io.StringIO(CSV))
    else:
        path.write_bytes(b"\xef\xbb\xbf" + CSV.encode())
    assert 3 == replay.push_file(client, "-" if name == "-" else str(path))
    assert [
        {b"series": row.series.encode(), b"ts": str(row.ts).encode(), b"value": row.values["value"].encode()}
        for row in ROWS
    ] == [fields for _, fields in redis.xrange("readings")]


def test_a_replay_goes_by_the_readings_times(client: Client, redis: Redis, tmp_path: Path) -> None:
    """Sorted over all series, with the pauses of the original at the speed asked for."""
    path = tmp_path / "readings.csv"
    path.write_text("series,ts,value\na,120000,3\nb,0,1\na,60000,2\n")
    pauses: list[float] = []
    assert 3 == replay.push_file(client, str(path), 60, pauses.append)
    assert [0.0, 1.0, 1.0] == pauses
    assert [b"1", b"2", b"3"] == [fields[b"value"] for _, fields in redis.xrange("readings")]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("absent.csv", None),
        ("latin.csv", "series,ts,value\nZürich,1,2\n".encode("latin-1")),
        ("cut.csv.gz", gzip.compress(CSV.encode(), mtime=0)[:-9]),
        ("plain.csv.gz", CSV.encode()),
        ("huge.csv", b'series,ts,value\na,1,"' + b"x" * 200_000 + b'"\n'),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    client: Client, tmp_path: Path, name: str, content: bytes | None
) -> None:
    """Absent, of another encoding, cut short, not compressed, or no CSV."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(HistoryError, match=r"cannot be read as CSV in UTF-8"):
        replay.push_file(client, str(path))
