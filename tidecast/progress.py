"""A progress bar for long work: on standard error, and only if that is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def progress(
    verb: str, noun: str, total: int | None = None, *, shown: bool = True
) -> Iterator[Callable[[float], None]]:
    """Show a progress bar within the block; yield a function that sets the number of finished items.

    Args:
        verb: the activity, such as `training`.
        noun: the items, such as `series`.
        total: the number of items; None: not known.
        shown: whether to show the bar at all.
    """
    console = Console(stderr=True)
    what = TextColumn("{task.description}", markup=False)
    columns = (what, BarColumn(), MofNCompleteColumn(), TextColumn(noun), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda done: bar.update(task, completed=done)
