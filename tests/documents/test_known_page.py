"""The blocks of Python on the page about what is known ahead run in their order, as one program."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents.blocks import blocks_of
from tests.documents.sessions import PATIENCE_S, QUICK


@pytest.mark.documents
@pytest.mark.keras
@pytest.mark.timeout(300)
def test_the_blocks_of_python_on_the_page_run(tmp_path: Path) -> None:
    """The skill with prices is far above the one without."""
    program = "\n".join(block.text for block in blocks_of("docs/how-to/known.md") if block.language == "python")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env={**os.environ, **QUICK},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert 0 == done.returncode, done.stderr
    without, known = (float(skill) for skill in re.findall(r"^0 +[\d.]+ +(-?[\d.]+)$", done.stdout, re.MULTILINE)[:2])
    assert known > without + 0.2
    assert 5 == len(re.findall(r"plant 2026-01-21", done.stdout))
