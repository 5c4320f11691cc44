"""Cells are read as one by one, however many are read together."""

import math
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidecast.errors import HistoryError
from tidecast.files.columns import Kind
from tidecast.files.history import read_history
from tidecast.files.text import Text
from tidecast.wire.numbers import LARGEST, number_of

NUMBERS = ["1", "-1.5", "+.5", "5.", "1e3", "1E-3", "007", "-0", "0.1", "1e400", "3.5e38", "9" * 30, "0." + "1" * 70]
NOT_NUMBERS = ["1_000", "0x10", "1,5", "--1", "1-2", ".", "e5", "inf", "\uff11", "1 2", "True", "[1]", "1]", "\t"]


@pytest.mark.parametrize("others", [[], [""], ["7", "x"]], ids=["alone", "beside an empty cell", "beside a bad cell"])
@pytest.mark.parametrize("cell", NUMBERS + NOT_NUMBERS)
def test_a_number_is_read_as_the_worker_reads_it(cell: str, others: list[str]) -> None:
    """Whatever the cells beside it hold: a number for training could also be pushed."""
    numbers = Text([cell, *others]).numbers()
    expected = number_of(cell.encode())
    np.testing.assert_array_equal(numbers.values[0], expected)
    assert bool(numbers.bad[0]) == (math.isnan(expected) and cell.strip() != "")


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), min_size=1))
def test_numbers_are_read_to_the_last_bit(values: list[float]) -> None:
    """By whichever parser: training and service see the same."""
    numbers = Text([repr(value) for value in values]).numbers()
    expected = [value if abs(value) <= LARGEST else math.nan for value in values]
    np.testing.assert_array_equal(numbers.values, expected)


@given(st.lists(st.datetimes(datetime(1700, 1, 1), datetime(2200, 1, 1)), min_size=1, max_size=5), st.data())
def test_times_are_read_as_python_reads_them(moments: list[datetime], data: st.DataObject) -> None:
    """In any form, and in one column of several forms, to the millisecond and below."""
    spec = st.sampled_from(["hours", "minutes", "seconds", "milliseconds", "microseconds"])
    for moment in moments:
        text = moment.isoformat(data.draw(st.sampled_from(["T", " "])), data.draw(spec))
        times = Text([text, *(other.isoformat() for other in moments)]).times()
        exact = datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        micros = exact.days * 86_400_000_000 + exact.seconds * 1_000_000 + exact.microseconds
        assert (micros // 1000, micros % 1000 * 1000, Kind.LOCAL) == (times.ms[0], times.below[0], times.kind)


@pytest.mark.parametrize(
    "cell",
    [
        *("2024-02-30", "2024-13-01", "2024-00-10", "24-01-01", "01.05.2024", "5/1/2024", "now", "2024", "1.5e9"),
        *("2024-01-01T24:00", "2024-01-01T12:60", "2024-01-01 12:00:60", "2024-01-01T", "2024-01-01_12:00"),
        *("2024-01-01112:00:00Z", "2024-01-01\n12:00", "2024-01-01T12:00:00+25:00", "\uff12024-01-01"),
    ],
)
def test_a_lenient_time_is_no_time(cell: str) -> None:
    """Other parsers read some of these as another moment than was meant."""
    times = Text([cell, "2024-01-01"]).times()
    assert [True, False] == times.bad.tolist() or times.fault


@pytest.mark.parametrize(
    ("numbers", "kind", "first_ms"),
    [
        (["0", "60000", "120000"], Kind.MILLISECONDS, 0),
        (["1", "2", "3"], Kind.MILLISECONDS, 1),
        (["-86400000", "0", "86400000"], Kind.MILLISECONDS, -86_400_000),
        ([str(3_600_000 * hour) for hour in range(800)], Kind.MILLISECONDS, 0),
        (["999999999", "1000000000"], Kind.SECONDS, 999_999_999_000),
        (["1709251200.25", "1709251201"], Kind.SECONDS, 1_709_251_200_250),
        (["-20000000000", "2000000000", "20000000000"], Kind.MILLISECONDS, -20_000_000_000),
        (["1709251200000", "1709251200001"], Kind.MILLISECONDS, 1_709_251_200_000),
    ],
)
def test_the_unit_of_bare_numbers_is_the_columns(numbers: list[str], kind: Kind, first_ms: int) -> None:
    """A column that counts from 0 crosses the numbers of seconds without changing its unit."""
    times = Text(numbers).times()
    assert (kind, first_ms, False) == (times.kind, times.ms[0], bool(times.bad.any()))
    assert times.fault is None


def test_a_single_0_among_epochs_is_not_the_beginning_of_a_count() -> None:
    """It marks a missing time: its row is bad, the others are seconds as before."""
    times = Text(["1709251200", "0", "1709251260"]).times()
    assert ([False, True, False], Kind.SECONDS) == (times.bad.tolist(), times.kind)


def test_csv_is_read_without_pandas_and_pyarrow(tmp_path: Path) -> None:
    """A plain install, with which the worker's image is built, can push."""
    (tmp_path / "x.csv").write_text("series,timestamp,value\na,2024-01-01,1\n")
    program = (
        "import sys; from tidecast.cli.commands.streams import push, replay; "
        "from tidecast.files.history import read_history; "
        "print(len(read_history('x.csv', time_zone='Europe/Berlin').accepted), "
        "*{'pandas', 'pyarrow', 'trainer'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ("1", "") == (done.stdout.strip(), done.stderr)


def test_parquet_without_pyarrow_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the package to install, and the way without it."""
    (tmp_path / "x.parquet").write_bytes(b"PAR1" + bytes(40))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(HistoryError, match=re.escape("which needs pyarrow: `pip install 'tidecast[train]'` brings it")):
        read_history(tmp_path / "x.parquet")
