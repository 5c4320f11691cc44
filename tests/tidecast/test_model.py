"""Model files: what is written is read, and nothing else is believed."""

import json
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import save

from tests.models import make_model
from tidecast import model as models
from tidecast.errors import ModelError
from tidecast.model import Model, Spec

WIDE = Spec(features=("temperature", "value"), window=5, units=3, layers=2, bidirectional=True, activation="relu")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a model file goes."""
    return tmp_path / "000001.safetensors"


def forged(model: Model, header: dict[str, Any], weights: dict[str, np.ndarray] | None = None) -> bytes:
    """A file with a matching checksum, whatever it says."""
    text, arrays = json.dumps(header), dict(model.weights if weights is None else weights)
    return save(arrays, metadata={models.HEADER: text, models.CHECKSUM: models._checksum(text, arrays)})


def header_of(model: Model, **changed: Any) -> dict[str, Any]:
    """The model's header as JSON, with some entries changed."""
    found: dict[str, Any] = model.header.model_dump(mode="json") | changed
    return found


@pytest.mark.parametrize("spec", [Spec(window=6, units=5), WIDE, Spec(form="raw", loss="mse")])
def test_a_model_survives_its_file_to_the_last_bit(file: Path, spec: Spec) -> None:
    """Header and weights are equal, and so are the forecasts."""
    model = make_model("Zürich/../x", spec)
    file.write_bytes(models.encode(model))
    found = models.load(file)
    assert model.header == found.header == models.load_header(file)
    assert all(np.array_equal(model.weights[name], found.weights[name]) for name in spec.shapes())
    rows = np.random.default_rng(0).normal(size=(3, spec.window, len(spec.features)))
    np.testing.assert_array_equal(model.forecast(rows), found.forecast(rows))


def test_the_target_is_the_first_feature_and_none_occurs_twice() -> None:
    """Column 0 is the target, however the features were named."""
    assert ("value",) == Spec().features
    assert ("value", "temperature") == WIDE.features
    assert ("y", "a", "b") == Spec(target="y", features=("a", "y", "b", "a")).features


def test_a_forecast_of_no_change_is_the_last_value() -> None:
    """With weights of zero the network of the form `change` is the last value."""
    model = make_model("a")
    silent = Model(model.header, {name: np.zeros_like(w) for name, w in model.weights.items()})
    assert [3.0, 9.0] == silent.forecast(np.array([[[1.0]] * 5 + [[3.0]], [[2.0]] * 5 + [[9.0]]])).tolist()


def test_many_windows_at_once_are_answered_as_each_alone() -> None:
    """To the last bit: a backtest in one call is what the worker will answer one by one."""
    model = make_model("a", Spec(window=24, units=50))
    rows = np.random.default_rng(0).normal(size=(33, 24, 1))
    assert [float(model.forecast(one)) for one in rows] == model.forecast(rows).tolist()


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(st.data())
def test_a_cut_or_flipped_file_is_never_loaded(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Wherever it is cut, and whichever bit is turned, the file is refused by a ModelError."""
    whole = models.encode(make_model("a"))
    path = tmp_path_factory.getbasetemp() / "broken.safetensors"
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        broken = whole[:at]
    else:
        broken = whole[:at] + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[at + 1 :]
    path.write_bytes(broken)
    with pytest.raises(ModelError):
        models.load(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 100, b"x" * 5000, b'{"tidecast": 1}'])
def test_what_is_no_model_file_is_refused(file: Path, content: bytes) -> None:
    """Empty, binary or text."""
    file.write_bytes(content)
    for read in (models.load, models.load_header):
        with pytest.raises(ModelError, match="not a whole model file"):
            read(file)


def test_an_absent_file_is_refused(file: Path) -> None:
    """The message names the path."""
    for read in (models.load, models.load_header):
        with pytest.raises(ModelError, match=file.name):
            read(file)


def test_a_foreign_safetensors_file_is_refused(file: Path) -> None:
    """Weights without our header are not ours."""
    file.write_bytes(save({"x": np.zeros(3, np.float32)}))
    with pytest.raises(ModelError, match="not a Tidecast model"):
        models.load(file)


def test_another_format_is_refused_by_its_number(file: Path) -> None:
    """The sentence says which format the file has and which one this program reads."""
    model = make_model("a")
    file.write_bytes(forged(model, header_of(model, format=models.FORMAT + 1, new_field=1)))
    with pytest.raises(ModelError, match=f"model format {models.FORMAT + 1}, this program reads {models.FORMAT}"):
        models.load(file)


@pytest.mark.parametrize(
    "changed",
    [
        {"step_ms": 0},
        {"step_ms": -1},
        {"level": 1},
        {"half_width": -0.1},
        {"half_width": "NaN"},
        {"scale": [0.0]},
        {"scale": [1.0, 1.0]},
        {"center": []},
        {"unknown": 1},
        {"spec": {"units": 10**9}},
        {"spec": {"window": 1}},
        {"spec": {"activation": "__import__"}},
        {"format": "x"},
        {"span": None},
    ],
)
def test_a_header_that_makes_no_sense_is_refused(file: Path, changed: dict[str, Any]) -> None:
    """Every field is checked, though the checksum matches."""
    model = make_model("a")
    file.write_bytes(forged(model, header_of(model, **changed)))
    for read in (models.load, models.load_header):
        with pytest.raises(ModelError, match="bad header"):
            read(file)


def test_weights_that_do_not_fit_the_spec_are_refused(file: Path) -> None:
    """Missing, extra, or of another shape: the message names the weight."""
    model = make_model("a")
    bias = model.weights["dense.bias"]
    without = {name: w for name, w in model.weights.items() if name != "dense.bias"}
    for weights in (without, {**model.weights, "extra": bias}, {**without, "dense.bias": np.zeros(2, np.float32)}):
        file.write_bytes(forged(model, header_of(model), weights))
        with pytest.raises(ModelError, match=r"weight (dense\.bias|extra) is"):
            models.load(file)
        with pytest.raises(ModelError, match=r"weight (dense\.bias|extra) is"):
            models.encode(Model(model.header, weights))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_weights_of_another_type_are_refused(file: Path, dtype: type) -> None:
    """The engine holds float32: another type would answer otherwise there than here."""
    model = make_model("a")
    file.write_bytes(forged(model, header_of(model), {name: w.astype(dtype) for name, w in model.weights.items()}))
    with pytest.raises(ModelError, match="not F32"):
        models.load(file)


def test_a_type_that_numpy_does_not_know_is_refused(file: Path) -> None:
    """A bfloat16 file is somebody's model, but not one of ours."""
    whole = models.encode(make_model("a"))
    size = int.from_bytes(whole[:8], "little")
    table = json.loads(whole[8 : 8 + size])
    for name, entry in table.items():
        if name != "__metadata__":
            entry |= {"dtype": "BF16", "data_offsets": [offset // 2 for offset in entry["data_offsets"]]}
    text = json.dumps(table).encode()
    body = whole[8 + size :]
    file.write_bytes(len(text).to_bytes(8, "little") + text + body[: len(body) // 2])
    with pytest.raises(ModelError, match="not F32"):
        models.load(file)


def test_a_file_beyond_all_reason_is_not_even_opened(file: Path) -> None:
    """A sparse file of the forbidden size costs nothing to refuse."""
    with file.open("wb") as sparse:
        sparse.truncate(models.MAX_FILE_BYTES + 1)
    with pytest.raises(ModelError, match="larger than"):
        models.load(file)


def test_a_header_cannot_be_made_without_sense() -> None:
    """What the file's reader refuses, the writer cannot build."""
    header = make_model("a").header
    with pytest.raises(ValidationError, match="positive scales"):
        models.Header(**(header.model_dump() | {"scale": (1.0, 1.0)}))
