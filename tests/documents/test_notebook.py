"""The notebooks run from their first cells to their last, and are kept without outputs."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT
from tests.harness.patience import PATIENCE_S

EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(path.name for path in (EXAMPLES / "notebook").glob("*.ipynb"))
PROGRAM = f"""
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout={PATIENCE_S}, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_kept_without_outputs(name: str) -> None:
    """Outputs depend on the machine, and would hide changes."""
    notebook = json.loads((EXAMPLES / "notebook" / name).read_text())
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) >= 3
    assert [] == [cell["id"] for cell in cells if cell["outputs"] or cell["execution_count"]]


@pytest.mark.documents
@pytest.mark.keras
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_every_cell_of_a_notebook_runs(tmp_path: Path, name: str) -> None:
    """Each runs in a kernel and a folder of its own, and its scores show forecasts better than the last value."""
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    folder = tmp_path / "examples" / "notebook"
    command = [sys.executable, "-c", PROGRAM, name, "ran.ipynb"]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TIDECAST_TRAIN__SHARED_EPOCHS": "0"}
    done = subprocess.run(
        command, cwd=folder, env=quiet, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    texts = _texts(folder / "ran.ipynb")
    CHECKS[name]("\n".join(texts))


def _texts(path: Path) -> list[str]:
    outputs = [out for cell in json.loads(path.read_text())["cells"] for out in cell.get("outputs", [])]
    return ["".join(out.get("data", {}).get("text/plain", [])) for out in outputs]


def _check_forecasts(text: str) -> None:
    skills = re.findall(r"^skill +(\S+)", text, re.MULTILINE)
    assert len(skills) == 2
    assert float(skills[0]) > 0.1


def _check_errors(better: str, worse: str, text: str) -> None:
    """Check that one method has a smaller error than another in a table of errors."""
    errors = dict(re.findall(r"^(\S.*?) +([0-9.]+)$", text, re.MULTILINE))
    assert float(errors[better]) < float(errors[worse])


def _check_tuning(text: str) -> None:
    """Check that the comparison names the store with the smaller error."""
    (row,) = re.findall(r"^0 +load +(\S+) +(\S+) +(tuned|default)$", text, re.MULTILINE)
    assert row[2] == ("tuned" if float(row[0]) <= float(row[1]) else "default")


CHECKS: dict[str, Callable[[str], None]] = {
    "compare.ipynb": partial(_check_errors, "tidecast", "last value"),
    "forecasts.ipynb": _check_forecasts,
    "keras.ipynb": partial(_check_errors, "Tidecast", "last value"),
    "own_and_known.ipynb": partial(_check_errors, "own", "last_value"),
    "tuning.ipynb": _check_tuning,
}
