"""Histories from files: accepted ones, repaired ones, and the message for each broken one."""

import gzip
import io
import os
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tests.tidecast.files.broken import DAYS, FILES, GOOD, SERIES, Broken, long_form, parquet
from tidecast.errors import HistoryError
from tidecast.files.history import Histories, History, read_history

DAY = 86_400_000
START = 1_704_067_200_000  # 2024-01-01T00:00:00Z


def read(tmp_path: Path, content: bytes | str, name: str = "x.csv", **options: Any) -> Histories:
    """Write a file and read it."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_history([path], **options)


def one(tmp_path: Path, content: bytes | str, name: str = "x.csv", **options: Any) -> History:
    """Write a file of one sound series and read it."""
    histories = read(tmp_path, content, name, **options)
    assert histories.refused == ()
    (history,) = histories.accepted
    return history


@pytest.mark.parametrize("broken", FILES, ids=lambda broken: broken.what)
def test_a_broken_file_ends_in_a_sentence(tmp_path: Path, broken: Broken) -> None:
    """The sentence names the file, the row where there is one, and the remedy."""
    path = tmp_path / broken.file
    if broken.content is not None:
        path.write_bytes(broken.content)
    with pytest.raises(HistoryError) as raised:
        read_history([path], **dict(broken.options))
    for part in (*broken.sentence, broken.file):
        assert part in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("broken", SERIES, ids=lambda broken: broken.what)
def test_a_broken_series_is_refused_and_the_others_go_on(tmp_path: Path, broken: Broken) -> None:
    """One bad cell costs its own series, with a sentence, and no other."""
    histories = read(tmp_path, broken.content or b"")
    assert ["b"] == [history.series for history in histories.accepted]
    (refusal,) = histories.refused
    assert "a" in refusal.series
    assert refusal.series.isprintable()
    for part in broken.sentence:
        assert part in refusal.reason


@pytest.mark.parametrize("length", range(0, 200, 7))
def test_no_cut_or_flipped_file_ends_in_another_error(tmp_path: Path, length: int) -> None:
    """Whatever a damaged file holds, it is read or refused in a sentence."""
    for name, whole in (("x.csv", GOOD * 3), ("x.csv.gz", gzip.compress(GOOD)), ("x.parquet", parquet(ts=DAYS))):
        flipped = bytearray(whole)
        flipped[length % len(whole)] ^= 0xA5
        for content in (whole[:length], bytes(flipped)):
            try:
                read(tmp_path, content, name)
            except HistoryError as error:
                assert name in str(error)  # noqa: PT017 - it may also be read


def test_reads_the_long_form(tmp_path: Path) -> None:
    """Series, time and value; times without an offset are UTC."""
    histories = read(tmp_path, long_form("a,2024-01-01 00:00:00,1", "b,2024-01-01,5", "a,2024-01-02,2.5"))
    first, second = histories.accepted
    assert ("a", ("value",), [START, START + DAY]) == (first.series, first.features, first.ts.tolist())
    assert [[1.0], [2.5]] == first.values.tolist()
    assert (np.int64, np.float64) == (first.ts.dtype, first.values.dtype)
    assert ("b", [[5.0]]) == (second.series, second.values.tolist())


@pytest.mark.parametrize(
    "header", ["unique_id,ds,y", " Series , TimeStamp,VALUE", "\ufeffseries;timestamp;value", "id,date,y"]
)
def test_header_has_aliases_and_no_case(tmp_path: Path, header: str) -> None:
    """Aliases, case, white space, a byte-order mark and the delimiter make no difference."""
    delimiter = ";" if ";" in header else ","
    rows = [delimiter.join(row) for row in (("007", "2024-01-01", "1"), ("007", "2024-01-02", "2"))]
    history = one(tmp_path, "\r\n".join((header, *rows)))
    assert ("007", ("value",), [[1.0], [2.0]]) == (history.series, history.features, history.values.tolist())


@pytest.mark.parametrize(
    "content",
    [
        'timestamp;"load, kW, net"\n2024-01-01;5\n',
        "timestamp\tload, kW, net\n2024-01-01\t5\n",
        'timestamp,"load;;"\n2024-01-01,5\n',
        'timestamp, "load, kW"\n"2024-01-01", "5"\n',
    ],
)
def test_the_delimiter_is_not_part_of_a_name(tmp_path: Path, content: str) -> None:
    """It separates both the names and the cells of the first row, outside quotes; a blank may follow it."""
    history = one(tmp_path, content)
    assert ([START], [[5.0]]) == (history.ts.tolist(), history.values.tolist())
    assert history.features[0].startswith("load")


def test_reads_the_wide_form(tmp_path: Path) -> None:
    """Several numeric columns after the time are one series each; text is left out, in a note."""
    histories = read(tmp_path, "date,north,south,sky\n2024-01-01,1,3,grey\n2024-01-02,,4,blue\n")
    assert ["north", "south"] == [history.series for history in histories.accepted]
    assert {("value",)} == {history.features for history in histories.accepted}
    assert [START] == histories.accepted[0].ts.tolist()
    assert ("1 row without a value: dropped",) == histories.accepted[0].notes
    assert any("sky" in note for note in histories.notes)


def test_a_bad_cell_of_the_wide_form_refuses_its_column(tmp_path: Path) -> None:
    """The sentence names the row, the others go on."""
    histories = read(tmp_path, "date,north,south\n2024-01-01,1,3\n2024-01-02,inf,4\n")
    assert ["south"] == [history.series for history in histories.accepted]
    assert "row 3" in histories.refused[0].reason


def test_a_target_makes_one_series_named_after_the_file(tmp_path: Path) -> None:
    """Asked for a target, columns are features of one series, not series."""
    content = "date,rain,temp,sky\n2024-01-01,1,3,grey\n2024-01-02,2,4,blue\n"
    history = one(tmp_path, content, "seattle.csv", target="Temp", features=("all",))
    assert ("seattle", ("temp", "rain")) == (history.series, history.features)
    assert [[3.0, 1.0], [4.0, 2.0]] == history.values.tolist()


def test_the_target_is_the_last_column_where_nothing_says_otherwise(tmp_path: Path) -> None:
    """The choice is noted; features are read only on request."""
    histories = read(tmp_path, "series,ts,hum,wind,temp\na,2024-01-01,1,SE,3\na,2024-01-02,2,NW,4\n")
    assert (("temp",), [[3.0], [4.0]]) == (histories.accepted[0].features, histories.accepted[0].values.tolist())
    assert any("'temp'" in note and "last" in note for note in histories.notes)
    assert any("hum, wind" in note for note in histories.notes)


def test_missing_features_carry_their_last_value(tmp_path: Path) -> None:
    """Before the first value, the first known one is used, or 0; a row without a target counts for features too."""
    rows = ["1,,5,", "2,3,,", "3,,,", ",4,,", "5,,,"]
    content = "ts,value,f,g,h\n" + "".join(f"2024-01-0{day},{row}\n" for day, row in enumerate(rows, start=1))
    history = one(tmp_path, content, features=("f", "g", "h"))
    assert [[1, 3, 5, 0], [2, 3, 5, 0], [3, 3, 5, 0], [5, 4, 5, 0]] == history.values.tolist()
    assert 4 == len(history.notes)


def test_an_id_that_numbers_the_rows_names_no_series(tmp_path: Path) -> None:
    """A column `id` without any repetition is left out."""
    history = one(tmp_path, "id,ts,value\n1,2024-01-01,5\n2,2024-01-02,6\n")
    assert ("x", ("value",), 2) == (history.series, history.features, len(history))


def test_sorts_and_keeps_the_last_of_equal_times(tmp_path: Path) -> None:
    """Both repairs are noted; a later row without a value does not displace one with."""
    history = one(tmp_path, long_form(*(f"a,2024-01-0{row}" for row in ("2,2", "1,1", "2,3", "1,", "3,4"))))
    assert [START, START + DAY, START + 2 * DAY] == history.ts.tolist()
    assert [[1.0], [3.0], [4.0]] == history.values.tolist()
    assert ["sorted", "dropped", "kept"] == [note.split()[-1] for note in history.notes]


@pytest.mark.parametrize(
    "text",
    ["2024-01-01T01:00:00+01:00", "2024-01-01T00:00Z", "2024-01-01 00:00:00.000", "2024/01/01", "1704067200000",
     "1704067200", "1704067200.0", "2024-1-1", "2023-12-31T19:00:00-0500", " 2024-01-01 "],
)  # fmt: skip
def test_times_have_many_spellings(tmp_path: Path, text: str) -> None:
    """ISO-8601 with or without offset, epoch seconds and milliseconds mean the same moment."""
    assert [START] == one(tmp_path, f"ts,value\n{text},1\n").ts.tolist()


def test_local_times_follow_their_zone(tmp_path: Path) -> None:
    """The hour shown twice is resolved by order, series by series; a skipped time moves on; both are noted."""
    local = ["2024-03-31 02:30", "2024-10-27 01:30", "2024-10-27 02:30", "2024-10-27 02:30", "2024-10-27 03:30"]
    rows = [f"{series},{time},{i}" for series in "ab" for i, time in enumerate(local)]
    histories = read(tmp_path, long_form(*rows), time_zone="Europe/Berlin")
    utc = [datetime(2024, 3, 31, 1, tzinfo=UTC)]
    utc += [datetime(2024, 10, day, hour, 30, tzinfo=UTC) for day, hour in ((26, 23), (27, 0), (27, 1), (27, 2))]
    for history in histories.accepted:
        assert [int(moment.timestamp()) * 1000 for moment in utc] == history.ts.tolist()
        assert [[0.0], [1.0], [2.0], [3.0], [4.0]] == history.values.tolist()
    assert ["skips 2", "shows 4"] == [" ".join(note.split()[2:4]) for note in histories.notes]


def test_a_zone_leaves_times_with_offset_alone(tmp_path: Path) -> None:
    """An offset in the time itself wins."""
    assert [START] == one(tmp_path, "ts,value\n2024-01-01T00:00Z,1\n", time_zone="Asia/Tokyo").ts.tolist()


@pytest.mark.parametrize(
    "times",
    [
        pa.array([START, START + DAY], pa.timestamp("ms")),
        pa.array([START * 10**6, (START + DAY) * 10**6], pa.timestamp("ns", "Europe/Berlin")),
        pa.array([date(2024, 1, 1), date(2024, 1, 2)]),
        pa.array([START, START + DAY]),
        pa.array([START / 1000, START / 1000 + 86_400]),
        pa.array(DAYS[:2], pa.large_string()),
    ],
    ids=lambda array: str(array.type),
)
def test_reads_parquet(tmp_path: Path, times: Any) -> None:
    """Time types, epochs and text; names may be numbers or a dictionary."""
    names = pa.array(["a", "a"]).dictionary_encode()
    history = one(tmp_path, parquet(series=names, timestamp=times, value=pa.array([1, None])), "x.parquet")
    assert ("a", [START], [[1.0]]) == (history.series, history.ts.tolist(), history.values.tolist())


def test_numbers_and_times_of_parquet_are_read_to_the_last_bit(tmp_path: Path) -> None:
    """A decimal is the nearest double; the index of a frame may hold its times as text; empty columns have any type."""
    frame = pd.DataFrame({"value": [Decimal("3.30"), Decimal("-0.07")], "temp": [None, None]}, index=DAYS[:2])
    sink = io.BytesIO()
    frame.to_parquet(sink)
    history = one(tmp_path, sink.getvalue(), features=("temp",))
    assert ([START, START + DAY], [[3.3, 0.0], [-0.07, 0.0]]) == (history.ts.tolist(), history.values.tolist())


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    """A gzip file named csv and a CSV file named gz are read."""
    assert 2 == len(one(tmp_path, gzip.compress(GOOD), "zipped.csv"))
    assert 2 == len(one(tmp_path, GOOD, "plain.csv.gz"))
    assert 2 == len(one(tmp_path, gzip.compress(parquet(ts=DAYS[:2], value=[1, 2])), "x.parquet"))


@pytest.mark.parametrize("name", ["pump.csv", "pump.tsv.gz", "pump.TXT", "pump"])
def test_a_file_without_a_column_of_series_gives_its_name_to_the_series(tmp_path: Path, name: str) -> None:
    """Without the endings, which would stay in every forecast."""
    assert "pump" == one(tmp_path, "ts\tvalue\n2024-01-01\t1\n2024-01-02\t2\n", name).series


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_reads_standard_input(monkeypatch: pytest.MonkeyPatch, pack: Any) -> None:
    """A dash stands for it; gzip is found out."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(pack(b"ts,value\n2024-01-01,1\n"))))
    assert "stdin" == read_history(["-"]).accepted[0].series


def test_reads_a_directory_and_joins_a_series_of_several_files(tmp_path: Path) -> None:
    """Files are read recursively, in order, each once; hidden ones are skipped, and those with other endings named."""
    (tmp_path / "2024").mkdir()
    (tmp_path / "2024" / "b.csv").write_bytes(long_form("a,2024-01-02,2"))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(long_form("a,2024-01-03,3", "c,2024-01-01,1")))
    (tmp_path / "z.parquet").write_bytes(parquet(series=["a"], ts=["2024-01-01"], value=[1]))
    (tmp_path / "readme.md").write_text("not a table")
    (tmp_path / ".hidden.csv").write_text("junk")
    histories = read_history([tmp_path, tmp_path / "z.parquet"])
    assert ["a", "c"] == [history.series for history in histories.accepted]
    assert [[1.0], [2.0], [3.0]] == histories.accepted[0].values.tolist()
    assert (f"{tmp_path}: not read because of their endings: readme.md",) == histories.notes


def write_parts(tmp_path: Path, *folders: str) -> None:
    """Write a file of the same name into each folder, a day after the other."""
    for day, folder in enumerate(folders, start=1):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "part-0.csv").write_text(f"ts,load\n2024-01-0{day},{day}\n")


@pytest.mark.parametrize(
    ("folders", "options", "readings"),
    [
        (("series=a", "series=b%2F c"), {}, {"a": [[1.0]], "b/ c": [[2.0]]}),
        (("plant=a/year=2024", "plant=b/year=2024"), {"series_column": "Plant"}, {"a": [[1.0]], "b": [[2.0]]}),
        (("date=2024-01-01", "date=2024-01-02"), {}, {"part-0": [[1.0], [2.0]]}),
    ],
)
def test_the_folders_of_partitioned_data_name_the_series(
    tmp_path: Path, folders: tuple[str, ...], options: dict[str, Any], readings: dict[str, list[list[float]]]
) -> None:
    """As pandas, Spark and Hive write them: the column is not in the files, and all files may have one name."""
    write_parts(tmp_path, *folders)
    histories = read_history(tmp_path, **options)
    assert readings == {history.series: history.values.tolist() for history in histories.accepted}
    assert histories.notes == ()


def test_files_of_one_name_from_folders_of_several_series_are_refused(tmp_path: Path) -> None:
    """Their times need not repeat: a machine may have come after the other."""
    write_parts(tmp_path, "plant=a", "plant=b")
    (refusal,) = read_history(tmp_path).refused
    assert "their folders differ in 'plant': add --series-column plant" in refusal.reason


def test_links_of_a_directory_are_followed_once_and_a_broken_one_is_an_error(tmp_path: Path) -> None:
    """Rows that are left out without a word would be missed in the forecasts only."""
    write_parts(tmp_path, "elsewhere")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "2024").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "back").symlink_to(tmp_path / "data")
    os.mkfifo(tmp_path / "data" / "pipe.csv")
    assert ["part-0"] == [history.series for history in read_history(tmp_path / "data").accepted]
    (tmp_path / "data" / "gone.csv").symlink_to(tmp_path / "nothing")
    with pytest.raises(HistoryError, match=r"gone\.csv does not exist: check the path"):
        read_history(tmp_path / "data")


def test_a_folder_that_may_not_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files would be missing without a word."""
    write_parts(tmp_path, "a")
    scandir = os.scandir

    def refuse(path: str) -> Any:
        if str(path).endswith("a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(HistoryError, match=r"/a cannot be read \(Permission denied\): grant the right to read it"):
        read_history(tmp_path)


def test_a_directory_without_tables_is_an_error(tmp_path: Path) -> None:
    """Also when its name looks like a file's."""
    (tmp_path / "x.csv").mkdir()
    with pytest.raises(HistoryError, match=r"x\.csv holds no file ending in \.csv"):
        read_history(tmp_path / "x.csv")


def test_a_broken_file_of_a_directory_is_named(tmp_path: Path) -> None:
    """A training on half of the data must not go unnoticed."""
    (tmp_path / "a.csv").write_bytes(GOOD)
    (tmp_path / "b.csv").write_bytes(b"")
    with pytest.raises(HistoryError, match=r"b\.csv is empty"):
        read_history([tmp_path])


def test_files_that_lend_one_name_to_two_series_are_refused(tmp_path: Path) -> None:
    """Two files of the same name continue one another or get names of their own; their readings are never mixed."""
    for name in ("north", "south"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "load.csv").write_text("ts,value\n2024-01-01,1\n2024-01-02,2\n")
    histories = read_history([tmp_path])
    assert () == histories.accepted
    assert "rename a file" in histories.refused[0].reason


def test_files_with_different_columns_are_no_one_series(tmp_path: Path) -> None:
    """A series has the same features throughout."""
    (tmp_path / "a.csv").write_text("series,ts,temp\ns,2024-01-01,1\n")
    (tmp_path / "b.csv").write_text("series,ts,load\ns,2024-01-02,1\n")
    (refusal,) = read_history([tmp_path]).refused
    assert "load and temp" in refusal.reason


@pytest.mark.parametrize(("sources", "sentence"), [([], "no history was named"), ([""], "name of a history is empty")])
def test_no_source_is_an_error(sources: list[str], sentence: str) -> None:
    """An argument that is missing or empty stands neither for an empty result nor for the present directory."""
    with pytest.raises(HistoryError, match=sentence):
        read_history(sources)


def test_rows_are_numbered_as_an_editor_does(tmp_path: Path) -> None:
    """Blank lines and line breaks within quotes count."""
    content = 'series,ts,note,value\n\na,2024-01-01,"two\nlines",1\na,2024-01-02,x,2\na,2024-01-03,x,bad\n'
    assert "row 6 of" in read(tmp_path, content).refused[0].reason


def test_a_large_file_is_split_exactly(tmp_path: Path) -> None:
    """Interleaved series come apart as in a naive reading."""
    rng = np.random.default_rng(0)
    names = rng.integers(0, 50, 5000)
    values = rng.normal(size=5000)
    rows = [
        f"s{name},{START + i * 1000},{value!r}"
        for i, (name, value) in enumerate(zip(names, values.tolist(), strict=True))
    ]
    for history in read(tmp_path, long_form(*rows)).accepted:
        mine = names == int(history.series[1:])
        np.testing.assert_array_equal(values[mine], history.values[:, 0])
        np.testing.assert_array_equal(START + np.flatnonzero(mine) * 1000, history.ts)
