"""Broken inputs: the fault, the file, how it is read, and what the message must name."""

import bz2
import gzip
import io
import lzma
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet

GOOD = b"series,timestamp,value\na,2024-01-01,1\na,2024-01-02,2\n"


DAYS = [f"2024-01-0{day}" for day in range(1, 4)]


@dataclass(frozen=True, slots=True)
class Broken:
    """One way in which a file can be broken."""

    what: str
    content: bytes | None  # None: no file is written
    sentence: tuple[str, ...]  # the fault, the value and the remedy, in part
    file: str = "x.csv"
    options: tuple[tuple[str, Any], ...] = ()
    refused: bool = False  # a Refusal of one series rather than an error


def parquet(**columns: Any) -> bytes:
    """Write columns as a Parquet file."""
    sink = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), sink)
    return sink.getvalue()


def twice() -> bytes:
    """Write a Parquet file with two columns of one name."""
    sink = io.BytesIO()
    arrays = [pa.array(DAYS), pa.array([1, 2, 3]), pa.array([4, 5, 6])]
    pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, ["ts", "value", "value"]), sink)
    return sink.getvalue()


def long_form(*rows: str) -> bytes:
    """Write rows under the usual header."""
    return "\n".join(("series,timestamp,value", *rows, "")).encode()


FILES = [
    Broken("empty", b"", ("x.csv is empty", "header and rows")),
    Broken("white space only", b" \n\n", ("x.csv is empty",)),
    Broken("missing", None, ("x.csv does not exist", "check the path")),
    Broken("blank header", b"\na,2024-01-01,1\n", ("row 1 of", "blank", "column names")),
    Broken("header only", b"series,timestamp,value\n", ("no row", "append readings")),
    Broken("header and blank rows", b"series,timestamp,value\n,,\n\n", ("no row",)),
    Broken("binary junk", bytes(range(256)) * 4, ("row 1 of", "NUL", "give CSV")),
    Broken("NUL byte", long_form("a,2024-01-01,1", "a,2024-01-02,\0"), ("row 3 of", "NUL")),
    Broken("UTF-16", GOOD.decode().encode("utf-16"), ("UTF-16", "save it as CSV in UTF-8")),
    Broken("Latin-1", "series,timestamp,value\nKöln,2024-01-01,1\n".encode("latin-1"), ("row 2 of", "0xf6", "UTF-8")),
    Broken("spreadsheet", b"PK\x03\x04" + bytes(40), ("ZIP or Excel", "save it as CSV")),
    Broken("JSON lines", b'{"timestamp":"2024-01-01","value":1}\n', ("x.csv is JSON", "give CSV")),
    Broken("JSON over several lines", b'[\n {"timestamp":"2024-01-01"}\n]\n', ("x.csv is JSON", "give CSV")),
    Broken("mark of a spreadsheet", b"sep=;\r\ntimestamp;value\r\n2024-01-01;1\r\n", ("row 1 of", "'sep=;'", "remove")),
    Broken("truncated gzip", gzip.compress(GOOD * 99)[:-20], ("damaged gzip", "again"), "x.csv.gz"),
    Broken("gzip with a wrong checksum", gzip.compress(GOOD)[:-8] + bytes(8), ("damaged gzip",), "x.csv.gz"),
    Broken("gzip of nothing", gzip.compress(b""), ("x.csv.gz is empty",), "x.csv.gz"),
    Broken("truncated Parquet", parquet(ts=DAYS, value=[1, 2, 3])[:-9], ("damaged Parquet", "again"), "x.parquet"),
    Broken("Parquet junk", b"PAR1" + bytes(40) + b"PAR1", ("damaged Parquet",), "x.parquet"),
    Broken("Parquet without rows", parquet(ts=pa.array([], pa.string()), value=pa.array([], pa.int64())), ("no row",)),
    Broken("no time column", b"series,value\na,1\n", ("no time column", "'series', 'value'", "'timestamp'")),
    Broken("no header", b"a,2024-01-01,1\na,2024-01-02,2\n", ("row 1 of", "looks like data", "column names")),
    Broken("no header, times first", b"2024-01-01,1\n2024-01-02,2\n", ("row 1 of", "looks like data")),
    Broken("no value column", b"series,timestamp\na,2024-01-01\n", ("no value column", "call the numbers 'value'")),
    Broken("only text columns", b"timestamp,wind\n2024-01-01,SE\n", ("no value column", "'wind'")),
    Broken("date and time apart", b"date,time,value\n2024-01-01,12:00,1\n", ("'date' and 'time'", "join them")),
    Broken("duplicate column", b"timestamp,value,Value\n2024-01-01,1,2\n", ("'Value' twice", "rename one")),
    Broken("wrong target", GOOD, ("target 'load'", "use one of value"), options=(("target", "load"),)),
    Broken("unknown feature", GOOD, ("feature 'temp'", "use one of value"), options=(("features", ("temp",)),)),
    Broken(
        "text feature",
        b"ts,value,wind\n2024-01-01,1,SE\n2024-01-02,2,NW\n",
        ("feature 'wind'", "text", "leave it out"),
        options=(("features", ("wind",)),),
    ),
    Broken("text as target", b"ts,value\n2024-01-01,low\n", ("row 2 of", "'low'", "42.1")),
    Broken("too many fields", long_form("a,2024-01-01,1", "a,2024-01-02,2,3"), ("row 3 of", "4 fields", "header 3")),
    Broken("too few fields", long_form("a,2024-01-01,1", "a,2024-01-02"), ("row 3 of", "2 fields", "header 3")),
    Broken("unclosed quote", long_form("a,2024-01-01,1", 'a,"2024-01-02,2', "a,2024-01-03,3"), ("row 3 of", "quote")),
    Broken("unclosed quote in the header", b'"series,timestamp,value\na,2024-01-01,1\n', ("row 1 of", "quote")),
    Broken("a header over two lines", b'ts,"lo\nad"\n2024-01-01,1\n', ("row 1 of", "all column names in one line")),
    Broken("a comment above the header", b"# of 2024\n" + GOOD, ("row 1 of", "'# of 2024'", "with their names")),
    Broken("gzip in gzip", gzip.compress(gzip.compress(GOOD)), ("compressed twice", "save it as CSV"), "x.csv.gz"),
    Broken("bzip2", bz2.compress(GOOD), ("compressed by bzip2", "save it as CSV"), "x.csv.bz2"),
    Broken("xz", lzma.compress(GOOD), ("compressed by xz", "save it as CSV"), "x.csv.xz"),
    Broken("no series name", long_form("a,2024-01-01,1", ",2024-01-02,2"), ("row 3 of", "no name", "'series'")),
    Broken("no time readable", long_form("a,01.05.2024,1", "a,02.05.2024,2"), ("row 2 of", "'01.05.2024'", "ISO-8601")),
    Broken("unreadable time without series", b"ts,value\n2024-01-01,1\nsoon,2\n", ("row 3 of", "'soon'", "ISO-8601")),
    Broken("years for times", b"date,value\n1990,1\n1991,2\n", ("'1990' looks like a year", "1990-01-01")),
    Broken("seconds from 0", b"ts,value\n0.0,1\n1.5,2\n3.0,3\n", ("row 3 of", "'1.5' has a fraction", "whole ones")),
    Broken("compact dates", b"date,value\n20240101,1\n", ("'20240101' looks like a date", "2024-01-01")),
    Broken("microseconds", b"ts,value\n1704067200000000,1\n", ("row 2 of", "microseconds: write milliseconds")),
    Broken(
        "times of a short float",
        parquet(ts=pa.array([1704067200.0], pa.float32()), value=[1]),
        ("row 1 of", "'1704067200.0' was rounded", "int64"),
    ),
    Broken("a column twice in Parquet", twice(), ("has the column 'value' twice", "rename one")),
    Broken("beyond nanoseconds", b"ts,value\n9999-12-31,1\n", ("row 2 of", "1678 to 2261")),
    Broken("names in an unknown column", b"ts,plant,value\n" + b"2024-01-01,A,1\n2024-01-01,B,1\n" * 3, ("'series'",)),
    Broken(
        "unclosed quote in a long file",
        long_form("a,2024-01-01,1", 'a,"2024-01-02,2', *["a,2024-01-03,3"] * 12_000),
        ("row 3 of", "opens a quote"),
    ),
    Broken("list as target", parquet(ts=DAYS, value=[[1], [2], [3]]), ("'value'", "list", "convert it"), "x.parquet"),
    Broken("truth as time", parquet(ts=[True, False], value=[1, 2]), ("'ts'", "bool", "ISO-8601"), "x.parquet"),
    Broken("list as name", parquet(series=[[1]], ts=DAYS[:1], value=[1]), ("'series'", "not names"), "x.parquet"),
    Broken(
        "time out of Python's range",
        parquet(ts=pa.array([1 << 44], pa.timestamp("s")), value=[1]),
        ("row 1 of", "1678 to 2261"),
        "x.parquet",
    ),
]


def one_bad(what: str, row: str, *sentence: str) -> Broken:
    """Return a file whose series `a` is unusable because of its row 4, while `b` is sound."""
    content = long_form("b,2024-01-01,1", "a,2024-01-01,1", row, "b,2024-01-02,2")
    return Broken(what, content, ("row 4 of", "x.csv", *sentence), refused=True)


SERIES = [
    one_bad("text", "a,2024-01-02,broken", "'broken'", "write one such as 42.1"),
    one_bad("infinite", "a,2024-01-02,inf", "'inf'", "finite"),
    one_bad("minus infinite", "a,2024-01-02,-Infinity", "'-Infinity'", "finite"),
    one_bad("beyond float64", "a,2024-01-02,1e400", "'1e400'", "3.4e38", "rescale"),
    one_bad("beyond float32", "a,2024-01-02,-4e38", "'-4e38'", "rescale"),
    one_bad("decimal comma", 'a,2024-01-02,"1,5"', "'1,5'", "point for decimals"),
    one_bad("thousands separators", 'a,2024-01-02,"1,234,567.8"', "nothing between thousands"),
    one_bad("digit separators", "a,2024-01-02,1_000", "'1_000'", "not a number"),
    one_bad("unclosed quote in the last field", 'a,2024-01-02,"2', "several lines", "close or remove"),
    one_bad("hexadecimal", "a,2024-01-02,0x10", "'0x10'", "not a number"),
    one_bad("full-width digits", "a,2024-01-02,\uff11\uff12", "'\uff11\uff12'", "not a number"),
    one_bad("no time", "a,,2", "no timestamp", "remove the row"),
    one_bad("unreadable time", "a,2024-13-45,2", "'2024-13-45'", "ISO-8601"),
    one_bad("a word for a time", "a,now,2", "'now'", "ISO-8601"),
    one_bad("offset among local times", "a,2024-01-02T00:00:00+01:00,2", "with offset", "write all of them alike"),
    one_bad("epoch among ISO times", "a,1704153600000,2", "epoch milliseconds", "ISO-8601 without", "alike"),
    one_bad("year beyond nanoseconds", "a,9999-12-31,2", "'9999-12-31'", "1678 to 2261"),
    Broken(
        "no value at all", long_form("b,2024-01-01,1", "a,2024-01-01,", "a,2024-01-02,nan"), ("x.csv",), refused=True
    ),
    Broken(
        "control character in the name",
        long_form("b,2024-01-01,1", "a\x07,2024-01-01,1"),
        ("x.csv", "control characters", "remove them"),
        refused=True,
    ),
    Broken(
        "name too long",
        long_form("b,2024-01-01,1", "a" * 257 + ",2024-01-01,1"),
        ("x.csv", "257 bytes", "at most 256"),
        refused=True,
    ),
]
