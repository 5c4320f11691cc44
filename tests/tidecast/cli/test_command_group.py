"""The subcommands are imported one at a time."""

import subprocess
import sys

from tidecast.cli.command_group import MODULES

PROGRAM = """
import sys
from contextlib import suppress
from tidecast.cli.main import main

def imported():
    return {name.removeprefix("tidecast.cli.commands.") for name in sys.modules if "cli.commands." in name}

for name in sys.argv[1:]:
    before = imported()
    sys.argv = ["tidecast", name, "--help"]
    with suppress(SystemExit):
        main()
    print("imported:", *(imported() - before))
"""
PACKAGES = {"operate", "streams", "training"}


def test_only_the_module_of_the_command_is_imported() -> None:
    """The others would cost a worker 0.15 s and some megabytes."""
    names = ["worker", "anomalies", "series"]
    done = subprocess.run([sys.executable, "-c", PROGRAM, *names], capture_output=True, text=True, check=True)
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("imported:")]
    assert [{MODULES[name]} for name in names] == [set(line) - PACKAGES for line in lines]
