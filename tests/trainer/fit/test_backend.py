"""The trainer reports the GPUs that it uses, and imports TensorFlow late and without what it does not need."""

import gc
import inspect
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from tidecast.errors import TidecastError
from tidecast.start import OwnPackages
from trainer.fit import backend
from trainer.fit.backend import check_package, report_gpus

SMALL = "stringprep"  # a module that is imported quickly


@pytest.mark.parametrize("names", [[], ["/physical_device:GPU:0"]])
def test_a_gpu_is_reported_and_its_absence_is_not(names: list[str]) -> None:
    """A data scientist sees in the log whether the GPU was found."""
    devices = [SimpleNamespace(name=name) for name in names]
    tensorflow = SimpleNamespace(config=SimpleNamespace(list_physical_devices=lambda kind: devices * (kind == "GPU")))
    with capture_logs() as lines:
        report_gpus(tensorflow)
    assert [names] * bool(names) == [line["devices"] for line in lines]


def test_a_script_called_keras_is_named_instead_of_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its import in place of Keras would wait for itself for ever."""
    script = tmp_path / "tidecast_test_keras.py"
    script.touch()
    (tmp_path / "tidecast_test_package").mkdir()
    (tmp_path / "tidecast_test_package" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(TidecastError, match=f"^{script} would be imported in place of the package .*: rename it"):
        check_package("tidecast_test_keras")
    check_package("tidecast_test_package")
    check_package("tidecast_test_absent")


def test_an_inspection_of_all_names_does_not_import_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pytest, which inspects the names of each test module, would import it in every process of the suite."""
    monkeypatch.setattr(backend, "_imported", lambda: pytest.fail("it is imported"))
    assert backend.keras is inspect.unwrap(backend.keras)
    assert not hasattr(backend.keras, "_mock_name")


def _refused() -> bool:
    sys.modules.pop(SMALL, None)
    try:
        import_module(SMALL)
    except ImportError:
        return True
    return False


def test_only_our_own_programs_refuse_what_keras_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other threads can import it meanwhile, and so can the whole program later and a user's program."""
    monkeypatch.setattr(backend, "UNUSED", (SMALL,))
    monkeypatch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if finder is not OwnPackages])
    with backend._without_unused():
        assert not _refused()
    sys.meta_path.insert(0, OwnPackages)
    with backend._without_unused(), ThreadPoolExecutor(1) as others:
        assert _refused()
        assert not others.submit(_refused).result()
    assert not _refused()


@pytest.mark.parametrize("enabled", [True, False])
def test_the_import_is_without_collections_and_leaves_them_as_they_were(*, enabled: bool) -> None:
    """They would look at half a million objects that live to the end; a program that collects by itself still does."""
    was_enabled = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        with backend._without_collections():
            assert not gc.isenabled()
        assert enabled == gc.isenabled()
    finally:
        (gc.enable if was_enabled else gc.disable)()
