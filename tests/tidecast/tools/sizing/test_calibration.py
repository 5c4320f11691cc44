"""A calibration measures with the worker's own code, and leaves nothing behind."""

import pytest
from redis import Redis

from tests.harness.servers.cluster import EmbeddedCluster
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.errors import SettingsError
from tidecast.settings import load_settings
from tidecast.tools.sizing.calibration import calibrate
from tidecast.tools.sizing.machine import memory_bytes, processor_name


def test_a_calibration_measures_every_part_and_deletes_its_keys(
    redis: Redis, redis_server: EmbeddedRedis, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the given Redis, beside its other keys; the log of the consumers does not mix with the output."""
    redis.set("other", "1")
    settings = load_settings(series={"target": "load"}, worker={"batch": 20})
    measured = calibrate(settings, redis_server.url, units=3, series=5)
    assert [b"other"] == redis.keys()
    assert min(measured.untrained.worker_us, measured.trained.loop_us, measured.trained.redis_us) > 0
    assert 3 == measured.own_units
    assert min(measured.state_bytes, measured.forecast_bytes, measured.reading_bytes) > 10
    assert (processor_name(), memory_bytes()) == (measured.processor, measured.memory_bytes)
    assert "" == capsys.readouterr().out


def test_the_server_of_a_cluster_is_refused(cluster: EmbeddedCluster) -> None:
    """The keys of a calibration have no partition."""
    with pytest.raises(SettingsError, match="server of a cluster"):
        calibrate(load_settings(), cluster.url)
