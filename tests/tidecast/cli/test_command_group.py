"""The subcommands are imported one at a time."""

import subprocess
import sys

import pytest

from tidecast.cli.command_group import MODULES

PROGRAM = """
import sys
from tidecast.cli.main import main

try:
    main()
except SystemExit:
    print(*(name.removeprefix("tidecast.cli.commands.") for name in sys.modules if "cli.commands." in name))
"""
PACKAGES = {"operate", "streams", "training"}


@pytest.mark.parametrize("name", ["worker", "anomalies", "series"])
def test_only_the_module_of_the_command_is_imported(name: str) -> None:
    """The others would cost a worker 0.15 s and some megabytes."""
    command = [sys.executable, "-c", PROGRAM, name, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert {MODULES[name]} == set(done.stdout.splitlines()[-1].split()) - PACKAGES
