"""The cost of a reading is the sum of its parts, and stored coefficients are checked."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.tidecast.tools.sizing.harness import ROUND, coefficients
from tidecast.errors import SettingsError
from tidecast.tools.sizing.coefficients import Cost, ModelKind, own_spec, products, stored_coefficients


@pytest.mark.parametrize(("model", "us"), [("none", 30), ("own", 20), ("shared", 32), ("both", 40)])
def test_a_cost_is_the_sum_of_the_parts_of_its_models(model: ModelKind, us: float) -> None:
    """Without a model the pretrained network forecasts, which may cost more than the experts of a model."""
    assert us == coefficients().cost(model, 50).worker_us


def test_the_cost_of_an_own_network_grows_with_its_products() -> None:
    """24 rows, four gates, and each unit reads the value and all units: 24 * 4 * 50 * 51 at 50 units."""
    assert 244_800 == products(own_spec(50))
    assert 12 + 8 * (100 * 101) / (50 * 51) == pytest.approx(coefficients().cost("own", 100).worker_us)


def test_a_difference_below_zero_is_noise() -> None:
    """A part that measures less than nothing must not make a whole cheaper."""
    less = Cost(worker_us=1, loop_us=5, redis_us=1)
    assert Cost(worker_us=0, loop_us=2, redis_us=0) == less.minus(Cost(worker_us=2, loop_us=3, redis_us=1))


def test_stored_coefficients_are_those_of_the_output(tmp_path: Path) -> None:
    """The whole output of `--json` is a valid file."""
    path = tmp_path / "machine.json"
    path.write_text(json.dumps({"capacity": {}, "coefficients": coefficients().model_dump()}))
    assert coefficients() == stored_coefficients(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "it has no coefficients"),
        ("[]", "it has no coefficients"),
        ('{"figures": {}}', "it has no coefficients"),
        ({"cores": 0}, "cores: Input should be greater than or equal to 1"),
        ({"own": {"worker_us": -1, "loop_us": 0, "redis_us": 0}}, "own.worker_us: Input should be greater than"),
        ({"trained": {"worker_us": 1, "loop_us": 1, "redis_us": 0}}, "a reading costs more than 0 microseconds"),
        ({"speed": 1}, "speed: Extra inputs are not permitted"),
    ],
)
def test_other_files_are_refused_with_the_reason(tmp_path: Path, content: str | dict[str, Any], reason: str) -> None:
    """The error names the file, the entry and the remedy."""
    path = tmp_path / "machine.json"
    path.write_text(content if isinstance(content, str) else json.dumps({"coefficients": ROUND | content}))
    with pytest.raises(SettingsError) as caught:
        stored_coefficients(path)
    assert f"--coefficients {path} is refused" in str(caught.value)
    assert reason in str(caught.value)
    assert "name a file with the output of `tidecast size --json`" in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """With the reason that the system gives."""
    with pytest.raises(SettingsError, match=r"cannot be read \(No such file or directory\)"):
        stored_coefficients(tmp_path / "none.json")
