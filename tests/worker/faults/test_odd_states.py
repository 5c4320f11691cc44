"""Fields of another program among the states: the worker waits, and its log names the field and the remedy."""

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.worker.harness import Impatient, add, forecasts, new_worker, quick
from tidecast.settings import Settings

pytestmark = pytest.mark.settings(**quick())


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        (b"b", b"garbage", "the state of 'b': state format 103, this program reads "),
        (b"b", b"", "the state of 'b': state format none, this program reads "),
        (b"b", None, "the state of 'b': a state of 40 bytes is cut short"),
        (b"\xff\xfe", b"x", "state has a field b'\\xff\\xfe', which is not UTF-8: delete this field"),
        (b"b\x1fnew", b"x", "the field 'b\\x1fnew' is not part of a state: delete this field"),
    ],
)
def test_a_field_that_no_worker_wrote_is_named(
    redis: Redis, settings: Settings, field: bytes, value: bytes | None, named: str
) -> None:
    """One of ten thousand would be hard to find; once it is gone, the worker goes on."""
    add(redis, *range(1, 9))
    first = new_worker(settings)
    while len(forecasts(redis)) < 8:
        first.step(0.0)
    first.leave()
    head = redis.hget("state", field)
    redis.hset("state", field, (head or b"")[:40] if value is None else value)
    worker = new_worker(settings)
    with capture_logs() as log:
        worker.step(0.0, Impatient(9))
    (line,) = (each for each in log if each["event"] == "step failed")
    assert line["error"].startswith(f"StateError: {named}")
    assert not line["exc_info"]
    redis.hdel("state", field)
    add(redis, 9)
    worker.step(0.0, Impatient(9))
    assert 9 == len(forecasts(redis))
