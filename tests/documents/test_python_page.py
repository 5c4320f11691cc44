"""The page on Python runs from its first block to its last, as one program."""

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
def test_the_blocks_of_the_page_on_python_run_in_their_order(tmp_path: Path) -> None:
    """They print scores by step, verdicts, a comparison and forecasts; they cause no warning."""
    program = "\n".join(block.text for block in blocks_of("docs/how-to/python.md"))
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
    assert re.search(r"^5 +6 +8 ", done.stdout, re.MULTILINE)  # step 6 of both series: eight windows
    assert 2 == len(re.findall(r"boiler-[78] +trained", done.stdout))
    assert re.search(r"^0 +2 +(trained|kept the champion) ", done.stdout, re.MULTILINE)
    assert 3 == len(re.findall(r"boiler-8 2026-01-26", done.stdout))
