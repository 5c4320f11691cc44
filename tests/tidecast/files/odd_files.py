"""Files as people have them: the readings of each, or the sentence with which it is refused."""
# ruff: noqa: E501 - a table: a file a line

import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet

Readings = Mapping[str, list[tuple[str, float]]]  # by series: the time in ISO-8601, and the target

TWO_DAYS = [("2024-03-01T00:00:00", 1.5), ("2024-03-02T00:00:00", 2.5)]
ONE_SERIES: Readings = {"a": TWO_DAYS}
BY_FILE: Readings = {"x": TWO_DAYS}


@dataclass(frozen=True, slots=True)
class OddFile:
    """One way in which a file can be written."""

    what: str
    content: bytes
    readings: Readings = field(default_factory=dict)  # empty: the file is refused
    sentence: str = ""  # a part of it
    name: str = "x.csv"
    options: tuple[str, ...] = ()
    series: str = "a"  # one of the file's, for commands that read a single one


def ms(time: str) -> int:
    """Return the epoch milliseconds of a time in UTC."""
    return round(datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() * 1000)


def parquet(**columns: Any) -> bytes:
    """Write columns as a Parquet file."""
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def lines(*rows: str) -> bytes:
    """Write rows as a file."""
    return "\n".join((*rows, "")).encode()


PLAIN = lines("series,timestamp,value", "a,2024-03-01,1.5", "a,2024-03-02,2.5")
SHOPS = [f"{shop},2024-03-{day:02},{10 * shop + day}" for day in range(1, 9) for shop in range(1, 6)]
UNEQUAL = [f"{shop},2024-03-{day:02},{day}" for shop, days in ((1, 28), (2, 20), (3, 5)) for day in range(1, days + 1)]
HOURS = [f"2024-03-{day:02},{hour},{30_000 + 50 * hour + 7 * day}" for day in range(1, 21) for hour in range(24)]
STORES_AND_ITEMS = [
    f"2024-03-{day:02},{store},{item},{day + store * item}"
    for day in range(1, 9)
    for store in range(1, 4)
    for item in range(1, 5)
]

READ = [
    OddFile("plain CSV", PLAIN, ONE_SERIES),
    OddFile("semicolons", PLAIN.replace(b",", b";"), ONE_SERIES),
    OddFile("tabs", PLAIN.replace(b",", b"\t"), ONE_SERIES),
    OddFile("Windows line ends and a byte-order mark", b"\xef\xbb\xbf" + PLAIN.replace(b"\n", b"\r\n"), ONE_SERIES),
    OddFile("old Mac line ends", PLAIN.replace(b"\n", b"\r"), ONE_SERIES),
    OddFile("gzip", gzip.compress(PLAIN), ONE_SERIES, name="x.csv.gz"),
    OddFile("gzip under another name", gzip.compress(PLAIN), ONE_SERIES),
    OddFile("Parquet", parquet(unique_id=["a", "a"], ds=["2024-03-01", "2024-03-02"], y=[1.5, 2.5]), ONE_SERIES),
    OddFile(
        "Parquet with times and whole numbers as names",
        parquet(id=[7, 7], time=pa.array([ms(t) for t, _ in TWO_DAYS], pa.timestamp("ms")), load=[1.5, 2.5]),
        {"7": TWO_DAYS},
    ),
    OddFile("Parquet with truth values", parquet(ds=["2024-03-01"], y=[True]), {"x": [("2024-03-01T00:00:00", 1.0)]}),
    OddFile("epoch seconds", lines("id,time,y", "a,1709251200,1.5", "a,1709337600,2.5"), ONE_SERIES),
    OddFile("epoch milliseconds", lines("id,time,y", "a,1709251200000,1.5", "a,1709337600000,2.5"), ONE_SERIES),
    OddFile(
        "epoch seconds across 2001",
        lines("date,y", "999900000,1.5", "1000000000,2.5"),
        {"x": [("2001-09-07T22:00:00", 1.5), ("2001-09-09T01:46:40", 2.5)]},
    ),
    OddFile("one unnamed series", lines("Date,Sales", "2024-03-01,1.5", "2024-03-02,2.5"), BY_FILE),
    OddFile("the newest row first", lines("date,y", "2024-03-02,2.5", "2024-03-01,1.5"), BY_FILE),
    OddFile(
        "a column for each series",
        lines("date,north,south", "2024-03-01,1.5,3", "2024-03-02,2.5,4"),
        {"north": TWO_DAYS, "south": [("2024-03-01T00:00:00", 3.0), ("2024-03-02T00:00:00", 4.0)]},
    ),
    OddFile("names in upper case", PLAIN.replace(b"series,timestamp,value", b"SERIES,TIMESTAMP,VALUE"), ONE_SERIES),
    OddFile("no-break spaces", PLAIN.replace(b"series,timestamp,value", "\xa0series,time\u200bstamp,value\xa0".encode()), ONE_SERIES),
    OddFile("a no-break space within a name", lines("date,sales\xa0eur", "2024-03-01,1.5", "2024-03-02,2.5"), BY_FILE),
    OddFile("a byte-order mark within the header", PLAIN.replace(b"series", b'"\xef\xbb\xbfseries"'), ONE_SERIES),
    OddFile("a column without a name", lines(",date,y", "0,2024-03-01,1.5", "1,2024-03-02,2.5"), BY_FILE),
    OddFile("trailing separators", PLAIN.replace(b"\n", b",\n"), ONE_SERIES),
    OddFile("trailing separators in rows", PLAIN.replace(b"5\n", b"5,,\n"), ONE_SERIES),
    OddFile("trailing separators in the header", PLAIN.replace(b"value", b"value,,"), ONE_SERIES),
    OddFile("blank lines and rows of separators", PLAIN + b"\n,,\n\n", ONE_SERIES),
    OddFile("quoted cells", PLAIN.replace(b"a,", b'"a","').replace(b",1.5", b'","1.5"').replace(b",2.5", b'","2.5"'), ONE_SERIES),
    OddFile("columns of libraries beside others", lines("unique_id,ds,timestamp,y,value", "a,2024-03-01,2001-01-01,1.5,9", "a,2024-03-02,2001-01-02,2.5,9"), ONE_SERIES),
    OddFile("a second time called ts", lines("series,timestamp,ts,value", "a,2024-03-01,1,1.5", "a,2024-03-02,2,2.5"), ONE_SERIES),
    OddFile("a name column of one reading each", lines("name,time,value", "a,2024-03-01,1", "b,2024-03-01,2"), {"a": [("2024-03-01T00:00:00", 1.0)], "b": [("2024-03-01T00:00:00", 2.0)]}),
    OddFile("a series column that the user names", lines("Store,Date,Sales", *SHOPS), {str(shop): [(f"2024-03-{day:02}T00:00:00", 10.0 * shop + day) for day in range(1, 9)] for shop in range(1, 6)}, options=("--series-column", "store")),
    OddFile("copies of whole rows", PLAIN + b"a,2024-03-02,2.5\n" * 30, ONE_SERIES),
    OddFile(
        "a reading sent again",
        lines("date,value,state", *(f"2024-01-{1 + d:02},{d},ok" for d in range(31)), "2024-01-31,7,again"),
        {"x": [(f"2024-01-{1 + d:02}T00:00:00", float(d)) for d in range(30)] + [("2024-01-31T00:00:00", 7.0)]},
    ),
    OddFile(
        "the hour that the clock showed twice, without its zone",
        lines("ts,y", *(f"2024-10-27 {hour:02}:{minute:02},{place}" for place, (hour, minute) in enumerate((h, m) for h in (0, 1, 2, 2, 3, 4, 5, 6) for m in (0, 15, 30, 45)))),
        {"x": [(f"2024-10-27T{hour:02}:{minute:02}:00", float(4 * (hour + (hour > 1)) + minute // 15)) for hour in range(7) for minute in (0, 15, 30, 45)]},
    ),
    OddFile(
        "a feature that names nothing",
        lines("date,weekday,value", *(f"2024-01-{1 + d:02},{d % 7},{d}" for d in range(31)), "2024-01-31,3,30.5"),
        {"x": [(f"2024-01-{1 + d:02}T00:00:00", float(d)) for d in range(30)] + [("2024-01-31T00:00:00", 30.5)]},
    ),
    OddFile("dates of January and February 1970", lines("date,y", "1970-01-15,1", "1970-02-10,2"), {"x": [("1970-01-15T00:00:00", 1.0), ("1970-02-10T00:00:00", 2.0)]}),
    OddFile("dates before 1970", lines("date,y", "1949-01,1", "1949-02,2"), {"x": [("1949-01-01T00:00:00", 1.0), ("1949-02-01T00:00:00", 2.0)]}),
    OddFile("microseconds that differ in their milliseconds", lines("ts,y", "2024-03-01T00:00:00.001900Z,1.5", "2024-03-01T00:00:00.002100Z,2.5"), {"x": [("2024-03-01T00:00:00.001", 1.5), ("2024-03-01T00:00:00.002", 2.5)]}),
    OddFile("numbers in unusual forms", lines("ts,y", "2024-03-01,+1.50", "2024-03-02,.25e1"), BY_FILE),
    OddFile("local times", lines("ts,y", "2024-03-01 01:00,1.5", "2024-03-02 01:00,2.5"), BY_FILE, options=("--time-zone", "Europe/Berlin")),
    OddFile("offsets", lines("ts,y", "2024-03-01T05:30:00+0530,1.5", "2024-03-01T19:00:00-05,2.5"), BY_FILE),
    OddFile("times in UTC as BigQuery writes them", lines("ts,y", "2024-03-01 00:00:00 UTC,1.5", "2024-03-02 00:00:00 UTC,2.5"), BY_FILE),
]  # fmt: skip

REFUSED = [
    OddFile("UTF-16", PLAIN.decode().encode("utf-16"), sentence="is UTF-16 text: save it as CSV in UTF-8"),
    OddFile("Latin-1", PLAIN.replace(b"a,", b"\xfc,"), sentence="row 2 of x.csv is not UTF-8 (byte 0xfc)"),
    OddFile("cut gzip", gzip.compress(PLAIN)[:-9], sentence="is a damaged gzip file", name="x.csv.gz"),
    OddFile("a header alone", lines("series,timestamp,value"), sentence="has columns but no row"),
    OddFile("ragged rows", PLAIN + b"a,2024-03-03\n", sentence="row 4 of x.csv has 2 fields, the header 3"),
    OddFile("an open quote", PLAIN + b'a,"2024-03-03,3\n', sentence="row 4 of x.csv opens a quote"),
    OddFile("series twice", lines("series,date,Series,y", "a,2024-03-01,b,1"), sentence="has the column 'Series' twice"),
    OddFile("two targets", lines("series,date,value,y", "a,2024-03-01,1,2"), sentence="has both 'value' and 'y': name the one"),
    OddFile("a target called ts", lines("timestamp,ts", "2024-03-01,5"), sentence="cannot be a field of a reading: rename it", options=("--target", "ts")),
    OddFile("a bad cell", PLAIN + b"a,2024-03-03,broken\n", sentence="row 4 of x.csv: value 'broken' is not a number"),
    OddFile("a bad time", PLAIN + b"a,soon,3\n", sentence="row 4 of x.csv: timestamp 'soon' is not a time"),
    OddFile("an extra digit in a time", PLAIN + b"a,2024-03-01112:00:00Z,3\n", sentence="'2024-03-01112:00:00Z' is not a time"),
    OddFile("panel of shops", lines("Store,Date,Sales", *SHOPS), sentence="column 'Store' distinguishes the rows"),
    OddFile("panel sorted by shop", lines("Store,Date,Sales", *sorted(SHOPS)), sentence="column 'Store' distinguishes the rows"),
    OddFile("panel of unequal length", lines("Store,Date,value", *UNEQUAL), sentence="column 'Store' distinguishes the rows"),
    OddFile("panel of named shops", lines("shop,date,value", *(f"shop {row}" for row in SHOPS)), sentence="column 'shop' distinguishes the rows: call it 'series', or name it with --series-column shop"),
    OddFile("small panel", lines("city,date,value", *(f"{c},2024-03-0{d},{d}" for d in (1, 2, 3) for c in "AB")), sentence="column 'city' distinguishes the rows"),
    OddFile("panel of two columns", lines("date,store,item,sales", *STORES_AND_ITEMS), sentence="columns 'store' and 'item' together distinguish the rows"),
    OddFile("panel within named series", lines("series,date,pump,value", *(f"s,2024-03-{d:02},{p},{d * p}" for d in range(1, 9) for p in (1, 2, 3))), sentence="times of their series in x.csv repeat, and column 'pump' distinguishes the rows"),
    OddFile("hours beside dates", lines("date,hour,load", *HOURS), sentence="column 'hour' distinguishes the rows: join it with 'date' into one column 'timestamp'"),
    OddFile("clock times beside dates", lines("date,Uhrzeit,shop,load", *(f"2024-03-{day:02},{hour:02}:00,{shop},{30_000 + 50 * hour + shop}.5" for day in range(1, 21) for hour in range(24) for shop in (1, 2))), sentence="column 'Uhrzeit' distinguishes the rows: join it with 'date' into one column 'timestamp'"),
    OddFile("panel without a telling column", lines("date,value", *(f"2024-03-{1 + i // 5:02},{i * 7 % 31}" for i in range(40))), sentence="no column names the series: add one called 'series', or keep one reading of each time"),
    OddFile("a column of decimal commas under a name of its own", lines("date;Last", "2024-03-01;5,5"), sentence="x.csv has no column of numbers: 'Last' begins with '5,5', which has a comma: write a point for decimals and nothing between thousands"),
    OddFile("a column of decimal commas beside one of whole numbers", lines("date;Pieces;Load", "2024-03-01;7;5", "2024-03-02;8;5,5", "2024-03-03;8;6,5"), sentence="column 'Load' of x.csv has numbers such as '5,5': write a point for decimals"),
    OddFile("columns separated by bars", lines("series|timestamp|value", "a|2024-03-01|5"), sentence="x.csv has one column, 'series|timestamp|value': separate columns by commas, semicolons or tabs"),
    OddFile("columns separated by blanks", lines("Time Load", "2024-03-01T00:00Z 5.5"), sentence="x.csv has one column, 'Time Load': separate columns by commas, semicolons or tabs"),
    OddFile("named series whose times repeat", lines("series,date,value", *(f"s,2024-03-{1 + i // 5:02},{i * 7 % 31}" for i in range(40))), sentence="no other column distinguishes the rows: keep one reading of each time"),
    OddFile("several readings in each millisecond", lines("series,ts,value", *(f"s,2024-03-01T00:00:00.{i // 5:03}{i % 5}00Z,{i}" for i in range(40))), sentence="row 3 of x.csv: ts '2024-03-01T00:00:00.000100Z' lies in the same millisecond as another", series="s"),
    OddFile("days of a spreadsheet", lines("date,y", "45292.04,1", "45292.08,2"), sentence="date '45292.04' looks like the number of a day in a spreadsheet: write 2024-01-01T00:57"),
    OddFile("whole days of a spreadsheet", lines("date,y", "36526,1", "36527,2"), sentence="write 2000-01-01"),
    OddFile("months as numbers", lines("date,y", "200001,1", "200002,2"), sentence="date '200001' looks like a date: write 2000-01-01"),
    OddFile("hours as numbers", lines("ts,y", "2024030112,1", "2024030113,2"), sentence="write 2024-03-01T12:00"),
    OddFile("minutes as numbers", lines("ts,y", "202403011200,1", "202403011201,2"), sentence="write 2024-03-01T12:00"),
    OddFile("seconds as numbers", lines("ts,y", "20240301120000,1", "20240301120001,2"), sentence="write 2024-03-01T12:00:00"),
    OddFile("fractions of years", lines("date,y", "2023.5,1", "2024.0,2"), sentence="date '2023.5' is not a time: epoch seconds begin with"),
    OddFile("days since 1970", lines("date,y", "19783,1", "19784,2"), sentence="date '19783' is not a time"),
    OddFile("seconds before 2001", lines("date,y", "631152000,1", "631238400,2"), sentence="date '631152000' is not a time: epoch seconds begin with"),
    OddFile("days as numbers in Parquet", parquet(date=[20240301, 20240302], y=[1.0, 2.0]), sentence="date '20240301' looks like a date"),
    OddFile("times within a millisecond", lines("ts,y", "2024-03-01T00:00:00.000100Z,1", "2024-03-01T00:00:00.000200Z,2"), sentence="lies in the same millisecond as another", series="x"),
    OddFile("nanoseconds within a millisecond", parquet(ts=pa.array([ms("2024-03-01") * 10**6 + n for n in (5, 900)], pa.timestamp("ns")), y=[1.0, 2.0]), sentence="lies in the same millisecond as another", series="x"),
    OddFile("fractions of epoch milliseconds", lines("ts,y", "1709251200000.1,1", "1709251200000.2,2"), sentence="lies in the same millisecond as another", series="x"),
    OddFile("an unknown series column", PLAIN, sentence="has no column for the series column 'shop'", options=("--series-column", "shop")),
    OddFile("an unknown target", PLAIN, sentence="has no column for the target 'load'", options=("--target", "load")),
]  # fmt: skip
