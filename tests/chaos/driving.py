"""`tidecast` with shards of as many series as the first argument has: the program of the drivers.

Its standard output goes to the file that is the second argument.
"""

import os
import sys

from tidecast.cli import main as cli
from trainer.runs import plan


def main() -> None:
    """Run the command."""
    plan.SERIES = int(sys.argv.pop(1))
    os.dup2(os.open(sys.argv.pop(1), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), sys.stdout.fileno())
    cli.main()
