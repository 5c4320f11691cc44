"""A worker of Dask that was forked after Dask had read its settings from another environment."""

import dask
from distributed.cli import dask_worker


def main() -> None:
    """Run `dask worker`."""
    dask.config.refresh()
    dask_worker.main()
