"""The types of the package hold in a user's project."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.blocks import ROOT
from tests.documents.sessions import PATIENCE_S


@pytest.mark.documents
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [("", ""), ("def restore(self, state: bytes)", "def restore(self, state: int)")])
def test_a_users_project_passes_a_strict_type_checker(tmp_path: Path, fault: tuple[str, str]) -> None:
    """With a fault in its expert, it does not."""
    shutil.copytree(ROOT / "examples" / "project", tmp_path / "project")
    program = tmp_path / "project" / "forecasting.py"
    program.write_text(program.read_text().replace(*fault))
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), program.name]
    done = subprocess.run(
        command, cwd=program.parent, capture_output=True, text=True, timeout=4 * PATIENCE_S, check=False
    )
    assert (done.returncode == 0) == (fault == ("", "")), done.stdout
