"""The `tidecast` command within this process."""

import sys

import pytest

from tidecast.cli import main as cli


def run_command(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """Run `tidecast` with these arguments; return its exit code."""
    monkeypatch.setattr(sys, "argv", ["tidecast", *words])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return int(caught.value.code or 0)
