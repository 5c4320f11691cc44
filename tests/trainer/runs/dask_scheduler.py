"""A scheduler of Dask that was forked after Dask had read its settings from another environment."""

import dask
from distributed.cli import dask_scheduler


def main() -> None:
    """Run `dask scheduler`."""
    dask.config.refresh()
    dask_scheduler.main()
