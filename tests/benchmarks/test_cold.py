"""The first start's figures are there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks import cold
from tests.benchmarks.measuring import figures_of
from tests.harness.compiled_code import QUICK, copy_compiled_code
from worker import compiling


def test_every_figure_is_there(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With all but one of the functions compiled, and without the demo, which trains."""
    compiling.warm()  # compiles the missing functions here, not in the new place
    empty_place = cold.new_place_for_code

    @contextmanager
    def nearly_full_place() -> Iterator[Path]:
        with empty_place() as folder:
            for file in copy_compiled_code(folder / "code").rglob(QUICK):
                file.unlink()
            yield folder

    monkeypatch.setattr(cold, "new_place_for_code", nearly_full_place)
    monkeypatch.setattr(cold, "_demo_s", lambda _folder: 40.0)
    figures = figures_of(capsys, "cold", "--rounds", "1")
    assert {"ready_cold_s", "ready_warm_s", "demo_s"} == set(figures)
    assert min(figures.values()) > 0
    assert 40.0 == figures["demo_s"]


@pytest.mark.parametrize("former", [None, "/the/users/own"])
def test_the_place_for_code_is_empty_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch, former: str | None) -> None:
    """Neither in the user's directories nor in the environment."""
    monkeypatch.delenv(cold.CODE, raising=False)
    if former:
        monkeypatch.setenv(cold.CODE, former)
    with cold.new_place_for_code() as folder:
        assert [] == list(folder.iterdir())
        assert str(folder / "code") == os.environ[cold.CODE]
    assert former == os.environ.get(cold.CODE)
    assert not folder.exists()
