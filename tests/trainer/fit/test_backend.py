"""The trainer reports the GPUs that it uses."""

from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from trainer.fit.backend import report_gpus


@pytest.mark.parametrize("names", [[], ["/physical_device:GPU:0"]])
def test_a_gpu_is_reported_and_its_absence_is_not(names: list[str]) -> None:
    """A data scientist sees in the log whether the GPU was found."""
    devices = [SimpleNamespace(name=name) for name in names]
    tensorflow = SimpleNamespace(config=SimpleNamespace(list_physical_devices=lambda kind: devices * (kind == "GPU")))
    with capture_logs() as lines:
        report_gpus(tensorflow)
    assert [names] * bool(names) == [line["devices"] for line in lines]
