"""The page on own experts: its file, its settings and its program, in an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.blocks import fences_of
from tests.documents.sessions import PATIENCE_S, QUICK


@pytest.mark.documents
@pytest.mark.keras
@pytest.mark.timeout(300)
def test_the_expert_of_the_page_is_fitted_and_judged(tmp_path: Path) -> None:
    """A reader who copies the blocks sees the errors of the own expert."""
    code, settings, program = [block.text for block in fences_of("docs/how-to/own-experts.md")]
    (tmp_path / "boosting.py").write_text(code)
    (tmp_path / "tidecast.toml").write_text(settings)
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, **QUICK},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mae=")
