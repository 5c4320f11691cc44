"""The notebook runs from its first cell to its last, and is kept without outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT
from tests.harness.patience import PATIENCE_S

NOTEBOOK = ROOT / "examples" / "notebook" / "forecasts.ipynb"
PROGRAM = f"""
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout={PATIENCE_S}, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


def test_the_notebook_is_kept_without_outputs() -> None:
    """Outputs depend on the machine, and would hide changes."""
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert 6 <= len(cells)
    assert [] == [cell["id"] for cell in cells if cell["outputs"] or cell["execution_count"]]


@pytest.mark.documents
@pytest.mark.keras
@pytest.mark.timeout(300)
def test_every_cell_of_the_notebook_runs(tmp_path: Path) -> None:
    """In a kernel of its own; the scores are those of forecasts that are better than the last value."""
    command = [sys.executable, "-c", PROGRAM, str(NOTEBOOK), str(tmp_path / "ran.ipynb")]
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TIDECAST_TRAIN__SHARED_EPOCHS": "0"}
    done = subprocess.run(
        command, cwd=tmp_path, env=quiet, capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert 0 == done.returncode, done.stderr
    texts = [text for text in _texts(tmp_path / "ran.ipynb") if "skill" in text]
    assert 2 == len(texts)
    assert float(texts[0].partition("skill")[2].split()[0]) > 0.1


def _texts(path: Path) -> list[str]:
    outputs = [out for cell in json.loads(path.read_text())["cells"] for out in cell.get("outputs", [])]
    return ["".join(out.get("data", {}).get("text/plain", [])) for out in outputs]
