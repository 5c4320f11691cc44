"""A bar for what takes long: on standard error, and only where that is a terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


@contextmanager
def progress(
    verb: str, noun: str, total: int | None = None, *, shown: bool = True
) -> Iterator[Callable[[float], None]]:
    """Show how far something is; gives what to tell how many are done.

    Args:
        verb: what happens, as `training`.
        noun: to what, as `series`.
        total: how many there are; None: nobody knows.
        shown: whether to show it at all.
    """
    console = Console(stderr=True)
    what = TextColumn("{task.description}", markup=False)
    columns = (what, BarColumn(), MofNCompleteColumn(), TextColumn(noun), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not (shown and console.is_terminal)) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda done: bar.update(task, completed=done)
