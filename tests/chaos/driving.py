"""`tidecast` with shards of a few series, so that a run of the chaos has many: the program of the drivers."""

from tidecast.cli.main import main
from trainer.runs import plan

if __name__ == "__main__":
    plan.SERIES = 6
    main()
