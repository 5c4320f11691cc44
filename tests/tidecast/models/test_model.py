"""Model files: a file is read as it was written, and any other content is refused."""

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors.numpy import save

from tests.harness.models import make_model, random_panel
from tidecast.errors import ModelError
from tidecast.models import model as models
from tidecast.models.experts import LINEAR
from tidecast.models.model import Model, NewestRows, SeasonProfiles, network_seasons
from tidecast.models.spec import Spec
from tidecast.models.storage import model_file
from tidecast.wire.state_format import ONLINE, PROFILE, numbers_in

WIDE = Spec(features=("temperature", "value"), window=5, units=3, layers=2, bidirectional=True, activation="relu")
RICH = Spec(window=5, units=3, normalise=True, seasonal=2, residual=True, hidden=4)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where a model file goes."""
    return tmp_path / "000001.safetensors"


def arrays_of(model: Model) -> dict[str, np.ndarray]:
    """Return all that its file holds: the weights and the panel."""
    return safetensors.numpy.load(model_file.encode(model))


def forged(model: Model, header: dict[str, Any], arrays: dict[str, np.ndarray] | None = None) -> bytes:
    """Write a file with a matching checksum and any content."""
    text = json.dumps(header)
    arrays = arrays_of(model) if arrays is None else arrays
    return save(arrays, metadata={model_file.HEADER: text, model_file.CHECKSUM: model_file._checksum(text, arrays)})


def newest_rows(features: int, filled: Sequence[int] = (0, 1, 0)) -> NewestRows:
    """Return rows ten milliseconds apart."""
    rows = len(filled)
    return NewestRows(
        10 * np.arange(1, rows + 1), np.random.default_rng(0).normal(size=(rows, features)), np.array(filled)
    )


def header_of(model: Model, **changed: Any) -> dict[str, Any]:
    """Return the model's header as JSON, with some entries changed."""
    header: dict[str, Any] = model.header.model_dump(mode="json") | changed
    return header


def profiles_of(**numbers: float) -> SeasonProfiles:
    """Return the profile of a first season with such numbers, and none of a second one."""
    profiles = np.zeros(2, PROFILE)
    for name, number in numbers.items():
        profiles[0][name] = number
    return SeasonProfiles(profiles.view(np.int64), np.random.default_rng(0).normal(size=(2, 1440)).astype(np.float32))


MODEL = make_model("a")


@pytest.mark.parametrize("spec", [Spec(window=6, units=5), WIDE, Spec(target_transform="raw", loss="mse"), RICH])
def test_a_model_survives_its_file_to_the_last_bit(file: Path, spec: Spec) -> None:
    """Header, weights, linear experts, newest rows and the experts that learn online."""
    panel = random_panel(1, len(spec.features))
    model = make_model("Zürich/../x", spec, panel=panel, seasons=(24, 7, 168), shared="hourly", gridded=False)
    online = np.random.default_rng(0).integers(0, 2**63, numbers_in(ONLINE))
    profiles = profiles_of(period=86_400_000.0, bins=1440)
    model = replace(model, newest=newest_rows(len(spec.features)), online=online, profiles=profiles)
    file.write_bytes(model_file.encode(model))
    loaded = model_file.load(file)
    assert model.header == loaded.header == model_file.load_header(file)
    assert set(spec.shapes()) == set(loaded.weights)
    assert all(np.array_equal(model.weights[name], loaded.weights[name]) for name in spec.shapes())
    np.testing.assert_array_equal(online, loaded.online)
    for before, after in (
        (model.panel, loaded.panel),
        (model.newest, loaded.newest),
        (model.profiles, loaded.profiles),
    ):
        for part in fields(before):
            np.testing.assert_array_equal(getattr(before, part.name), getattr(after, part.name))


def test_a_model_without_a_network_survives_its_file(file: Path) -> None:
    """Its linear experts answer alone; it holds no weights, and needs only their rows."""
    model = make_model("a", panel=random_panel(3), network=False, seasons=(7, 24))
    file.write_bytes(model_file.encode(model))
    loaded = model_file.load(file)
    assert (model.header, {}) == (loaded.header, dict(loaded.weights))
    assert (0, model.panel.rows) == (loaded.network_rows, loaded.rows)
    assert (None, None, None) == (loaded.newest, loaded.online, loaded.profiles)


@pytest.mark.parametrize("broken", [{"bins": 1441}, {"open": 1440}, {"closed": -1}, {"period": np.nan}, {"number": -1}])
def test_profiles_that_no_season_has_are_refused(file: Path, broken: dict[str, float]) -> None:
    """A worker writes to the places that they name."""
    profiles = profiles_of(**{"period": 86_400_000.0, "bins": 1440, **broken})
    file.write_bytes(model_file.encode(replace(make_model("a"), profiles=profiles)))
    with pytest.raises(ModelError, match="no profiles of seasons"):
        model_file.load(file)


def test_the_target_is_the_first_feature_and_none_occurs_twice() -> None:
    """Column 0 is the target, however the features were named."""
    assert ("value",) == Spec().features
    assert ("value", "temperature") == WIDE.features
    assert ("y", "a", "b") == Spec(target="y", features=("a", "y", "b", "a")).features


def test_a_network_reads_the_more_marked_seasons_the_shorter_first() -> None:
    """Two at most, and 0 where the series has fewer."""
    seasonal = [network_seasons(seasons, RICH.seasonal).tolist() for seasons in ((), (24,), (168, 24), (24, 168, 7))]
    assert [[0, 0], [24, 0], [24, 168], [24, 168]] == seasonal
    assert [[], [7]] == [network_seasons((24, 7), n).tolist() for n in range(2)]


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(st.data())
def test_a_cut_or_flipped_file_is_never_loaded(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Wherever it is cut, and whichever bit is turned, the file is refused by a ModelError."""
    whole = model_file.encode(make_model("a"))
    path = tmp_path_factory.getbasetemp() / "broken.safetensors"
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        broken = whole[:at]
    else:
        broken = whole[:at] + bytes([whole[at] ^ (1 << data.draw(st.integers(0, 7)))]) + whole[at + 1 :]
    path.write_bytes(broken)
    with pytest.raises(ModelError):
        model_file.load(path)


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 100, b"x" * 5000, b'{"tidecast": 1}'])
def test_what_is_no_model_file_is_refused(file: Path, content: bytes) -> None:
    """Empty, binary or text."""
    file.write_bytes(content)
    for read in (model_file.load, model_file.load_header):
        with pytest.raises(ModelError, match="not a whole model file"):
            read(file)


def test_an_absent_file_is_refused(file: Path) -> None:
    """The message names the path."""
    for read in (model_file.load, model_file.load_header):
        with pytest.raises(ModelError, match=file.name):
            read(file)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (save({"x": np.zeros(3, np.float32)}), "not a Tidecast model"),
        (forged(MODEL, header_of(MODEL, network=False)), "its spec requires None"),  # but there are weights
        (
            forged(MODEL, header_of(MODEL, format=models.FORMAT + 1, new_field=1)),
            f"model format {models.FORMAT + 1}, this program reads {models.FORMAT}",
        ),
    ],
)
def test_a_file_that_is_not_of_this_program_is_refused(file: Path, content: bytes, sentence: str) -> None:
    """Without our header, of another format, or with weights that its header does not declare."""
    file.write_bytes(content)
    with pytest.raises(ModelError, match=sentence):
        model_file.load(file)


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
        {"seasons": [1]},
        {"seasons": [1_000_001]},
        {"seasons": [2, 3, 4, 5, 6]},
        {"change_scale": 0},
    ],
)
def test_a_header_that_makes_no_sense_is_refused(file: Path, changed: dict[str, Any]) -> None:
    """Every field is checked, though the checksum matches."""
    model = make_model("a")
    file.write_bytes(forged(model, header_of(model, **changed)))
    for read in (model_file.load, model_file.load_header):
        with pytest.raises(ModelError, match="bad header"):
            read(file)


def test_weights_that_do_not_fit_the_spec_are_refused(file: Path) -> None:
    """Missing, extra, or of another shape: the message names the weight."""
    model = make_model("a")
    bias = model.weights["dense.bias"]
    without = {name: w for name, w in model.weights.items() if name != "dense.bias"}
    for weights in (without, {**model.weights, "extra": bias}, {**without, "dense.bias": np.zeros(2, np.float32)}):
        panel = {name: array for name, array in arrays_of(model).items() if name.startswith("panel.")}
        file.write_bytes(forged(model, header_of(model), weights | panel))
        with pytest.raises(ModelError, match=r"weight (dense\.bias|extra) is"):
            model_file.load(file)
        with pytest.raises(ModelError, match=r"weight (dense\.bias|extra) is"):
            model_file.encode(Model(model.header, weights, model.panel))


@pytest.mark.parametrize(
    ("part", "broken"),
    [
        ("lags", np.full(8, -1)),
        ("lags", np.full(8, 2 * models.MAX_SEASON + 1)),
        ("columns", np.full(8, 1)),
        ("columns", np.full(8, -1)),
        ("needs", np.full(len(LINEAR), -1)),
        ("needs", np.full(len(LINEAR), 2 * models.MAX_SEASON + 2)),
        ("bias", np.full(len(LINEAR), np.nan)),
        ("coefficients", np.full((len(LINEAR), 8), np.inf)),
    ],
)
def test_a_panel_that_no_series_could_feed_is_refused(file: Path, part: str, broken: np.ndarray) -> None:
    """Rows before the window, absent columns, values that are not numbers: none of them is ever read."""
    model = make_model("a")
    file.write_bytes(model_file.encode(Model(model.header, model.weights, replace(model.panel, **{part: broken}))))
    with pytest.raises(ModelError, match="reads rows or columns that no series has"):
        model_file.load(file)


@pytest.mark.parametrize(
    ("part", "broken", "sentence"),
    [
        ("newest.ts", np.array([3, 3, 4]), "no rows of a series"),
        ("newest.values", np.full((3, 1), np.nan), "no rows of a series"),
        ("newest.filled", np.full(3, 2), "no rows of a series"),
        ("newest.values", np.zeros((3, 2)), "newest.values is"),
        ("newest.filled", np.zeros(2), "newest.filled is"),
        ("online", np.zeros(2), "online is"),
    ],
)
def test_newest_rows_that_no_series_has_are_refused(file: Path, part: str, broken: np.ndarray, sentence: str) -> None:
    """Times that do not increase, values that are not numbers, marks of another kind, other shapes."""
    model = replace(make_model("a"), newest=newest_rows(1), online=np.zeros(numbers_in(ONLINE), np.int64))
    broken = broken.astype(arrays_of(model)[part].dtype)
    file.write_bytes(forged(model, header_of(model), arrays_of(model) | {part: broken}))
    with pytest.raises(ModelError, match=sentence):
        model_file.load(file)


def test_the_rows_before_a_reading_end_with_a_reading() -> None:
    """A row that was interpolated towards later readings is left out; all rows are older than a new reading."""
    rows = newest_rows(1, filled=(0, 1, 1, 0))
    assert [[10, 20, 30, 40], [10], [10], []] == [rows.before(ts).ts.tolist() for ts in (41, 40, 20, 10)]
    ends_with_error = newest_rows(1, filled=(0, 1, 1))
    assert 3 == len(ends_with_error.before(40).values)


def test_a_panel_of_another_size_is_refused(file: Path) -> None:
    """Terms come in multiples, all of its parts have as many, and no expert is missing."""
    model = make_model("a")
    whole = arrays_of(model)
    terms = ("panel.lags", "panel.columns", "panel.coefficients")
    for broken in (
        {name: whole[name][..., :5] for name in terms},
        {name: whole[name][..., :0] for name in terms},
        {"panel.lags": whole["panel.lags"][:5]},
        {"panel.errors": whole["panel.errors"][:, 1:]},
        {"panel.lags": np.zeros((), np.int64)},
    ):
        file.write_bytes(forged(model, header_of(model), whole | broken))
        with pytest.raises(ModelError, match="train it again"):
            model_file.load(file)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int32])
def test_weights_of_another_type_are_refused(file: Path, dtype: type) -> None:
    """The engine holds float32, and float64 and whole numbers for a panel: another type would answer otherwise."""
    model = make_model("a")
    whole = arrays_of(model)
    for name, array in whole.items():
        file.write_bytes(forged(model, header_of(model), whole | {name: np.zeros(array.shape, dtype)}))
        if array.dtype == dtype:
            model_file.load(file)
        else:
            with pytest.raises(ModelError, match=f"{name} is of type .*, not {array.dtype}"):
                model_file.load(file)


def test_a_type_that_numpy_does_not_know_is_refused(file: Path) -> None:
    """A bfloat16 file may be another program's model."""
    whole = model_file.encode(make_model("a"))
    size = int.from_bytes(whole[:8], "little")
    table = json.loads(whole[8 : 8 + size])
    body = b""
    for entry in sorted((e for e in table.values() if "dtype" in e), key=lambda e: e["data_offsets"]):
        content = whole[8 + size :][slice(*entry["data_offsets"])]
        if entry["dtype"] == "F32":
            entry["dtype"], content = "BF16", content[::2]
        entry["data_offsets"] = [len(body), len(body := body + content)]
    text = json.dumps(table).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + body)
    with pytest.raises(ModelError, match="is of type BF16, not float32"):
        model_file.load(file)


def test_a_file_beyond_all_reason_is_not_even_opened(file: Path) -> None:
    """A sparse file of the forbidden size costs nothing to refuse."""
    with file.open("wb") as sparse:
        sparse.truncate(model_file.MAX_FILE_BYTES + 1)
    with pytest.raises(ModelError, match="larger than"):
        model_file.load(file)


def test_a_header_cannot_be_made_without_sense() -> None:
    """The writer cannot build a header that the file's reader refuses."""
    header = make_model("a").header
    with pytest.raises(ValidationError, match="positive scales"):
        models.Header(**(header.model_dump() | {"scale": (1.0, 1.0)}))
