"""`tidecast` with shards of as many series as the first argument has: the program of the drivers."""

import sys

from tidecast.cli.main import main
from trainer.runs import plan

if __name__ == "__main__":
    plan.SERIES = int(sys.argv.pop(1))
    main()
