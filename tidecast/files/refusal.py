"""Refusals: series that cannot be used, although others of their file can."""

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console


@dataclass(frozen=True, slots=True)
class Refusal:
    """A series, and the reason why it or a part of it was not used."""

    series: str
    reason: str  # a sentence with the file, the row if there is one, and the remedy


def print_refused(refused: Iterable[Refusal]) -> None:
    """Print a line for each refused series on standard error."""
    console = Console(stderr=True, soft_wrap=True)
    for refusal in refused:
        console.print(f"refused: {refusal.series}: {refusal.reason}", style="yellow", highlight=False, markup=False)


def print_notes(notes: Iterable[str]) -> None:
    """Print a line for each note on standard error."""
    console = Console(stderr=True, soft_wrap=True)
    for note in notes:
        console.print(f"note: {note}", style="dim", highlight=False, markup=False)
