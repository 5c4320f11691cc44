"""Entries of another program in the keys of a partition that a repartition closes."""

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.patience import until
from tidecast.connection.partitions import at_present
from tidecast.connection.repartitions import Repartition, order_repartition
from tidecast.settings import Settings
from tidecast.wire import keys_of, layout_of
from worker.layout.repartition import Repartitioner
from worker.membership import claim_layout
from worker.partition.stream import Stream


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\xff"])
def test_a_mute_of_no_series_keeps_no_partition_closed(redis: Redis, settings: Settings, name: bytes) -> None:
    """All readings would wait for somebody who finds it; it is left out, and named in the log."""
    Stream(redis, keys_of(), settings.worker).acquire("me")
    redis.hset("muted", mapping={"a": "0", name: "0"})  # type: ignore[dict-item] # bytes are fine
    claim_layout(redis, layout_of(settings))
    assert order_repartition(redis, "", Repartition(2, 1, 1, 0))
    repartitioner = Repartitioner(redis, settings)
    with capture_logs() as log:
        until(lambda: repartitioner.step(settings) or at_present(redis, settings).partitions == 2)
    new = layout_of(at_present(redis, settings))
    assert [b"a"] == [series for keys in new.present() for series in redis.hkeys(keys.muted)]
    (line,) = (each for each in log if each["log_level"] == "warning")
    assert ("muted", repr(name)) == (line["key"], line["name"])
