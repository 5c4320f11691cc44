"""Readings move from the stream to the archive: no reading is lost or doubled, wherever a run is killed."""

import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pyarrow.parquet
import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.harness.nursery import fork
from tests.harness.patience import PATIENCE_S
from tests.trainer.data.harness import TS, add, plain, reading
from tests.worker.harness import grant, login, rights_of
from tidecast.client import Client
from tidecast.connection.paging import RawEntry, pages_of
from tidecast.errors import HistoryError
from tidecast.settings import Settings, load_settings
from tidecast.wire import layout_of
from trainer.data.archive import Archive
from trainer.data.archiving import move
from trainer.data.recorded import RecordedQuery, read_recorded
from worker.main import make_worker
from worker.metrics import Health
from worker.stop import Stop

FAR = TS + 10**9  # later than every entry of these tests
POINTS = {  # the functions at which a run dies
    "before the file": "trainer.data.archive.Archive.add",
    "within the file": "pyarrow.parquet.ParquetWriter.add_key_value_metadata",
    "before the sync": "trainer.data.archive.sync",
    "before the rename": "pathlib.Path.rename",
    "before the trim": "trainer.data.archiving._trim",
    "after the trim": None,  # then the run dies at its end
}


def die(*_: object, **__: object) -> None:
    """End this process at once."""
    os.kill(os.getpid(), signal.SIGKILL)


def move_until(function: str | None, url: str, folder: Path, before_ms: int) -> None:
    """Move readings until a function is called, and die."""
    with mock.patch(function, die) if function else nullcontext():
        move(load_settings(redis_url=url), folder, before_ms)
    die()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the archive will be."""
    return tmp_path / "history"


def archived(settings: Settings, folder: Path, partition: int = 0) -> list[RawEntry]:
    """Return every entry of a partition's archive."""
    archive = Archive(folder, settings.namespace, layout_of(settings).every_part()[partition])
    return [entry for page in archive.pages(archive.files()) for entry in page]


def streamed(redis: Redis) -> list[RawEntry]:
    """Return every entry that is still in the stream."""
    return [entry for page in pages_of(redis, "readings", b"-", b"+") for entry in page]


def test_what_is_old_and_committed_moves_as_it_was_sent(settings: Settings, redis: Redis, folder: Path) -> None:
    """Every byte of it, whatever the worker thought of it; the rest stays."""
    add(redis, reading(1, 0), {"value": "nan", "ts": ""}, reading("1.50", 2, note="x" * 1000))
    redis.execute_command("XADD", "readings", f"{TS + 3000}-0", b"\xff", b"\x00\xfe", "series", "a", "series", "b")
    redis.execute_command("XADD", "readings", f"{TS + 3000}-7", "series", "c", "value", "1")
    add(redis, reading(3, 9))
    before = streamed(redis)
    assert 5 == move(settings, folder, TS + 5000)
    assert before[:5] == archived(settings, folder)
    assert before[5:] == streamed(redis)


def test_what_is_not_committed_stays(settings: Settings, redis: Redis, folder: Path) -> None:
    """However old it is; without an offset, everything."""
    add(redis, reading(1, 0), commit=False)
    assert 0 == move(settings, folder, FAR)
    add(redis, reading(2, 1))
    (last,) = add(redis, reading(3, 2), commit=False)
    assert 2 == move(settings, folder, FAR)
    assert [last] == [entry_id for entry_id, _ in streamed(redis)]
    assert 0 == move(settings, folder, FAR)


def test_each_run_begins_where_the_last_one_ended(settings: Settings, redis: Redis, folder: Path) -> None:
    """A file for each run that found something, in the order of the entries."""
    add(redis, *(reading(i, i) for i in range(20)))
    before = streamed(redis)
    assert [5, 0, 10, 5] == [move(settings, folder, TS + 1000 * n) for n in (5, 5, 15, 99)]
    assert before == archived(settings, folder)
    assert [] == streamed(redis)
    files = Archive(folder, settings.namespace, layout_of(settings).every_part()[0]).files()
    assert [(0, 4), (5, 14), (15, 19)] == [tuple((int(i[:-2]) - TS) // 1000 for i in (f.first, f.last)) for f in files]


def test_the_readings_of_a_deleted_series_leave_the_archive(settings: Settings, redis: Redis, folder: Path) -> None:
    """Up to an id; the files keep their spans, so that the next run goes on where the last one ended."""
    add(redis, *(reading(i, i, series="ab"[i % 2]) for i in range(20)))
    before = streamed(redis)
    for n in (5, 6, 15):
        move(settings, folder, TS + 1000 * n)
    archive = Archive(folder, settings.namespace, layout_of(settings).every_part()[0])
    files = archive.files()
    kept = [entry for n, entry in enumerate(before[:15]) if n % 2 or n > 10]
    for purged in (6, 0):
        assert purged == archive.purge(b"a", before[10][0])
        assert kept == archived(settings, folder)
        assert files == archive.files()
    assert 5 == move(settings, folder, FAR)
    assert kept + before[15:] == archived(settings, folder)


def test_a_history_reaches_back_into_the_archive(settings: Settings, redis: Redis, folder: Path) -> None:
    """It is the same as before; `since` cuts through a file too."""
    add(redis, *(reading(i, i, series="ab"[i % 2], wind=i) for i in range(20)), reading(1, 3))
    before = read_recorded(settings, RecordedQuery(features=["wind"]))
    since = read_recorded(settings, RecordedQuery(since_ms=TS + 3000))
    for n in (5, 12):
        move(settings, folder, TS + 1000 * n)
        after = read_recorded(settings, RecordedQuery(features=["wind"], archive=folder))
        assert [plain(history) for history in before.accepted] == [plain(history) for history in after.accepted]
        assert [history.notes for history in before.accepted] == [history.notes for history in after.accepted]
        joined = read_recorded(settings, RecordedQuery(since_ms=TS + 3000, archive=folder))
        assert sorted(plain(history) for history in since.accepted) == sorted(
            plain(history) for history in joined.accepted
        )
    assert 4 + 4 == sum(map(len, read_recorded(settings).accepted))


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_loses_nothing_and_doubles_nothing(
    settings: Settings, redis: Redis, folder: Path, point: str
) -> None:
    """At whatever point it dies: the next run, with other readings due, leaves every entry in exactly one place."""
    add(redis, *(reading(i, i) for i in range(30)))
    move(settings, folder, TS + 5000)
    expected = archived(settings, folder) + streamed(redis)
    histories = [plain(history) for history in read_recorded(settings, RecordedQuery(archive=folder)).accepted]
    url = settings.redis_url.get_secret_value()
    process = fork(move_until, POINTS[point], url, folder, TS + 12_000)
    process.join(PATIENCE_S)
    assert -signal.SIGKILL == process.exitcode
    assert histories == [plain(history) for history in read_recorded(settings, RecordedQuery(archive=folder)).accepted]
    move(settings, folder, TS + 20_000)
    assert expected == archived(settings, folder) + streamed(redis)
    assert 10 == len(streamed(redis))
    assert histories == [plain(history) for history in read_recorded(settings, RecordedQuery(archive=folder)).accepted]
    assert all(file.suffix == ".parquet" for file in folder.iterdir())


def test_a_worker_goes_on_and_misses_nothing(settings: Settings, redis: Redis, folder: Path) -> None:
    """The answered readings may leave; none of them counts as lost."""
    with Client(settings.redis_url.get_secret_value()) as client:
        for start in (0, 10):
            client.push_many([("a", float(i), TS + 1000 * i) for i in range(start, start + 10)])
            make_worker(settings, Health()).run(Stop(), burst=True)
            assert 10 == move(settings, folder, 10**13)
    assert [b"20", b"20", b"0"] == redis.hmget("offset", "forecast", "read", "lost")
    assert [20] == [len(history) for history in read_recorded(settings, RecordedQuery(archive=folder)).accepted]


def test_partitions_and_namespaces_share_a_directory(settings: Settings, redis: Redis, folder: Path) -> None:
    """Each has files of its own, and finds no others."""
    url = settings.redis_url.get_secret_value()
    two = load_settings(redis_url=url, namespace="plant", partitions=2)
    for key in ("plant:{0}:readings", "plant:{1}:readings", "readings"):
        # crc32 puts `a` into partition 1 of 2, `d` into 0.
        add(redis, *(reading(i, i, series="d" if "{0}" in key else "a") for i in range(4)), key=key)
    assert (8, 4) == (move(two, folder, FAR), move(settings, folder, FAR))
    assert [4, 4] == [len(archived(two, folder, partition)) for partition in range(2)]
    assert ["d", "a"] == [history.series for history in read_recorded(two, RecordedQuery(archive=folder)).accepted]
    assert ["a"] == [history.series for history in read_recorded(settings, RecordedQuery(archive=folder)).accepted]


def test_the_archive_of_another_redis_is_not_taken_for_ones_own(settings: Settings, redis: Redis, folder: Path) -> None:
    """Otherwise a recreated stream would lose readings that were never archived."""
    add(redis, *(reading(i, i) for i in range(10)))
    move(settings, folder, FAR)
    redis.flushall()
    add(redis, reading(7, 3))
    with pytest.raises(HistoryError, match=r"lacks entry 17\d+-0 of readings.* name another directory"):
        move(settings, folder, FAR)
    assert 1 == len(streamed(redis))


def _damaged(folder: Path) -> Iterator[str]:
    (file,) = folder.glob("readings-*.parquet")
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    yield "is not a whole file of an archive"
    for version, sentence in (b"2", "archive format 2, this reads up to 1: upgrade"), (b"1", "is not a whole file"):
        metadata = {b"tidecast.format": version}
        pyarrow.parquet.write_table(pa.table({"id": ["1-0"]}).replace_schema_metadata(metadata), file)
        yield sentence
    file.write_bytes(whole)


def test_a_file_that_cannot_be_read_is_named(settings: Settings, redis: Redis, folder: Path) -> None:
    """No reading is moved, and none past the file is read; files that do not belong to the archive are left alone."""
    with pytest.raises(HistoryError, match="holds no archive"):
        read_recorded(settings, RecordedQuery(archive=folder))
    add(redis, *(reading(i, i) for i in range(10)))
    move(settings, folder, TS + 5000)
    pyarrow.parquet.write_table(pa.table({"value": [1.0]}), folder / "mine.parquet")
    (folder / "notes.csv").write_text("value\n1\n")
    for sentence in _damaged(folder):
        with pytest.raises(HistoryError, match=sentence):
            read_recorded(settings, RecordedQuery(archive=folder))
        with pytest.raises(HistoryError, match=sentence):
            move(settings, folder, FAR)
    assert [10] == [len(history) for history in read_recorded(settings, RecordedQuery(archive=folder)).accepted]


def test_the_documented_user_is_enough(settings: Settings, redis: Redis, folder: Path) -> None:
    """Each of its rights is needed."""
    add(redis, *(reading(i, i) for i in range(4)), key="plant:readings")
    url = login(settings.redis_url.get_secret_value(), "tidecast-trainer")
    given = load_settings(redis_url=url, namespace="plant")
    try:
        for right in rights_of("tidecast-trainer"):
            grant(redis, "tidecast-trainer", without=right)
            with pytest.raises(NoPermissionError, match=right):
                move(given, folder, TS + 2000)
        grant(redis, "tidecast-trainer")
        assert 2 == move(given, folder, TS + 4000)
        assert [4] == [len(history) for history in read_recorded(given, RecordedQuery(archive=folder)).accepted]
    finally:
        redis.acl_deluser("tidecast-trainer")


def test_a_directory_that_cannot_be_made_is_named(settings: Settings, tmp_path: Path) -> None:
    """The message names the remedy."""
    (tmp_path / "file").write_text("")
    with pytest.raises(HistoryError, match="cannot be written"):
        move(settings, tmp_path / "file", FAR)
