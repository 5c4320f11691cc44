"""Champions that are loaded together: the same models as one by one, and every file with a fault is left out."""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import fields, replace

import numpy as np
import pytest
from safetensors.numpy import load, save

from tests.harness.models import make_model, random_panel
from tidecast.errors import ModelError, StoreError
from tidecast.models.model import FORMAT, Champion, Model, Models, NewestRows, SeasonProfiles
from tidecast.models.own_model import OwnModel
from tidecast.models.spec import Spec
from tidecast.models.storage import model_file
from tidecast.models.storage.file_names import Pointer
from tidecast.models.store import ModelStore
from tidecast.wire.state_format import ONLINE, PROFILE, numbers_in

SMALL = Spec(window=4, units=3)
SHAPES = (SMALL, Spec(window=5, units=4, layers=2), Spec(features=("value", "b"), window=4, units=3))


def rich(series: str, seed: int) -> Model:
    """Return a model of any shape; some have newest rows, online numbers, an own expert and profiles."""
    rng = np.random.default_rng(seed)
    spec = SHAPES[seed % 3]
    model = make_model(series, spec, seed=seed, panel=random_panel(seed, len(spec.features)), network=seed % 7 != 0)
    if seed % 2:
        values = rng.normal(size=(3, len(spec.features)))
        newest = NewestRows(np.array([10, 20, 30 + seed]), values, np.array([0, 1, 0]))
        model = replace(model, newest=newest, online=rng.integers(0, 2**63, numbers_in(ONLINE)))
    if seed % 5 == 0:
        own = OwnModel("mine.py:best", 2, b"%05d" % seed)
        bins = rng.normal(size=(2, 1440)).astype(np.float32)
        model = replace(model, own=own, profiles=SeasonProfiles(np.zeros(2, PROFILE).view(np.int64), bins))
    return model


def write(store: ModelStore, content: bytes, series: str, version: int = 1) -> None:
    """Make a file the champion of a series, without waiting for the disk."""
    folder = store.folder(series)
    folder.mkdir(parents=True)
    (folder / "series.json").write_text(json.dumps({"series": series}))
    (folder / f"{version:06d}.safetensors").write_bytes(content)
    (folder / "champion").write_bytes(Pointer(version, published=True).encode())


def loaded(store: ModelStore, series: list[str]) -> Iterator[tuple[Champion, Models, int]]:
    """Yield each champion that is loaded, the models of its shape, and its place in them."""
    for champions, models in store.load_together(series):
        for place, champion in enumerate(champions):
            yield champion, models, place


def assert_same(one: Model, other: Model) -> None:
    """To the last bit."""
    assert (one.header, one.own, set(one.weights)) == (other.header, other.own, set(other.weights))
    for name, weights in one.weights.items():
        np.testing.assert_array_equal(weights, other.weights[name])
    assert (one.online is None) == (other.online is None)
    if one.online is not None:
        np.testing.assert_array_equal(one.online, other.online)
    for mine, theirs in ((one.panel, other.panel), (one.newest, other.newest), (one.profiles, other.profiles)):
        assert (mine is None) == (theirs is None)
        for part in fields(mine) if mine is not None else ():
            np.testing.assert_array_equal(getattr(mine, part.name), getattr(theirs, part.name))


@pytest.mark.parametrize("at_once", [1, model_file.BYTES_TOGETHER])
def test_models_loaded_together_are_those_loaded_alone(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    """Of any shape, with any parts, and however few bytes are stacked at once."""
    monkeypatch.setattr(model_file, "BYTES_TOGETHER", at_once)
    names = [f"s{i}" for i in range(60)]
    for i, name in enumerate(names):
        write(store, model_file.encode(rich(name, i)), name, version=1 + i)
    seen = []
    for champion, models, place in loaded(store, names):
        seen.append(champion.series)
        number, model = store.load(champion.series)
        assert (number, True) == (champion.version, champion.published)
        assert_same(model, models.model(place))
        assert model.rows == models.rows[place]
    assert sorted(names) == sorted(seen)


def altered(change: Callable[[dict[str, np.ndarray]], object]) -> Callable[[bytes], bytes]:
    """Return a fault of the arrays, with a checksum that matches."""

    def fault(content: bytes) -> bytes:
        end = 8 + int.from_bytes(content[:8], "little")
        text = json.loads(content[8:end])["__metadata__"][model_file.HEADER]
        arrays = {name: array.copy() for name, array in load(content).items()}
        change(arrays)
        checksum = model_file._checksum(text, arrays)
        return model_file._in_order(save(arrays, metadata={model_file.HEADER: text, model_file.CHECKSUM: checksum}))

    return fault


def other_format(content: bytes) -> bytes:
    """Return the file as a later program would write it."""
    named = b'\\"format\\":%d'
    assert named % FORMAT in content
    return content.replace(named % FORMAT, named % (FORMAT + 1))


FAULTS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda _: b"", "not a whole model file"),
    "truncated": (lambda content: content[:-4], "not a whole model file"),
    "longer": (lambda content: content + bytes(4), "not a whole model file"),
    "flipped": (lambda content: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:], "its checksum does not match"),
    "NaN over a weight": (lambda content: content[:-4] + np.float32(np.nan).tobytes(), "its checksum does not match"),
    "format": (other_format, f"model format {FORMAT + 1}, this program reads {FORMAT}"),
    "shape": (altered(lambda arrays: arrays.update({"dense.kernel": np.zeros((9, 1), np.float32)})), "dense.kernel is"),
    "type": (altered(lambda arrays: arrays.update({"dense.bias": np.zeros(1)})), "dense.bias is of type F64"),
    "NaN": (altered(lambda arrays: arrays["panel.coefficients"].fill(np.nan)), "reads rows or columns that no series"),
    "infinite": (altered(lambda arrays: arrays["panel.bias"].fill(np.inf)), "reads rows or columns that no series"),
    "lags": (altered(lambda arrays: arrays["panel.lags"].fill(-1)), "reads rows or columns that no series"),
    "columns": (altered(lambda arrays: arrays["panel.columns"].fill(1)), "reads rows or columns that no series"),
    "needs": (altered(lambda arrays: arrays["panel.needs"].fill(4096)), "reads rows or columns that no series"),
    "errors": (altered(lambda arrays: arrays["panel.errors"].fill(-1)), "reads rows or columns that no series"),
    "times": (altered(lambda arrays: arrays["newest.ts"].fill(5)), "its newest rows are no rows"),
    "marks": (altered(lambda arrays: arrays["newest.filled"].fill(2)), "its newest rows are no rows"),
    "values": (altered(lambda arrays: arrays["newest.values"].fill(np.nan)), "its newest rows are no rows"),
    "profiles": (
        altered(lambda arrays: arrays["profiles.numbers"].fill(-1)),
        "its profiles are no profiles",
    ),
    "bins": (altered(lambda arrays: arrays["profiles.bins"].fill(np.inf)), "its profiles are no profiles"),
}


def test_files_with_faults_are_left_out_among_thousands(store: ModelStore) -> None:
    """Each fault costs its own series alone, and `load` names the fault."""
    good = replace(
        make_model("s", SMALL, panel=random_panel(0)),
        newest=NewestRows(np.array([1, 2, 3]), np.zeros((3, 1)), np.zeros(3, np.int64)),
        profiles=SeasonProfiles(np.zeros(2, PROFILE).view(np.int64), np.zeros((2, 1440), np.float32)),
    )
    names = [f"s{i}" for i in range(2000)]
    broken = dict(zip(names[7::100], FAULTS.values(), strict=False))
    assert len(broken) == len(FAULTS)
    for name in names:
        content = model_file.encode(replace(good, header=good.header.model_copy(update={"series": name})))
        write(store, broken[name][0](content) if name in broken else content, name)
    seen = {champion.series for champion, _, _ in loaded(store, names)}
    assert set(names) - set(broken) == seen
    for name, (_, sentence) in broken.items():
        with pytest.raises(ModelError, match=sentence):
            store.load(name)


def test_files_that_are_not_the_series_own_are_left_out(store: ModelStore) -> None:
    """No champion, no file, a damaged pointer, another series' file; one of a former name is loaded alone."""
    for name in ("good", "pointer", "gone", "stranger", "new"):
        write(store, model_file.encode(make_model("old" if name in {"stranger", "new"} else name)), name)
    (store.folder("pointer") / "champion").write_bytes(b"one")
    (store.folder("gone") / "000001.safetensors").unlink()
    (store.folder("new") / "series.json").write_text(json.dumps({"series": "new", "former": ["old"]}))
    names = ["good", "pointer", "gone", "stranger", "new", "unknown"]
    assert ["good"] == [champion.series for champion, _, _ in loaded(store, names)]
    assert "new" == store.load("new")[1].header.series
    with pytest.raises(StoreError, match="belongs to 'old'"):
        store.load("stranger")


def test_a_file_beyond_all_reason_is_left_out(store: ModelStore) -> None:
    """It is not even read."""
    write(store, b"", "s")
    with (store.folder("s") / "000001.safetensors").open("wb") as sparse:
        sparse.truncate(model_file.MAX_FILE_BYTES + 1)
    assert [] == list(store.load_together(["s"]))


@pytest.mark.parametrize("name", ["champion", "000001.safetensors"])
def test_a_pipe_in_the_place_of_a_file_stops_nobody(store: ModelStore, name: str) -> None:
    """It would be read until somebody writes to it."""
    for series in ("good", "piped"):
        write(store, model_file.encode(make_model(series)), series)
    place = store.folder("piped") / name
    place.unlink()
    os.mkfifo(place)
    assert ["good"] == [champion.series for champion, _, _ in loaded(store, ["piped", "good"])]
    with pytest.raises(StoreError if name == "champion" else ModelError):
        store.load("piped")
