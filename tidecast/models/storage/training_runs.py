"""The progress of training runs on a scheduler, as their drivers write it to the store and the dashboard shows it.

<root>/runs/<run>/<token>/progress.json    of a run that goes on
<root>/runs.log                            a line for each run that has ended
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tidecast.durable import replace

LOG = "runs.log"


@dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The progress of a run.

    Attributes:
        began_ms: when it began, epoch milliseconds.
        changed_ms: when the driver last published something, epoch milliseconds.
        scheduler: the address.
        series: of the run.
        trained: series whose new version was promoted.
        kept: series whose champion stays.
        refused: series that could not be trained, or whose version is not promoted and that have no champion.
    """

    began_ms: int
    changed_ms: int
    scheduler: str
    series: int
    trained: int = 0
    kept: int = 0
    refused: int = 0

    @property
    def done(self) -> int:
        """Return the number of series with a verdict."""
        return self.trained + self.kept + self.refused

    def write(self, folder: Path) -> None:
        """Write the progress to the folder of the run."""
        replace(folder / "progress.json", json.dumps(asdict(self)).encode())

    def log(self, root: Path) -> None:
        """Append the progress to the log of the store, as the run has ended."""
        with (root / LOG).open("a") as log:
            log.write(json.dumps(asdict(self)) + "\n")


def running(root: Path) -> list[TrainingProgress]:
    """Return the runs that go on, or were interrupted, the newest first."""
    texts = (_text(path) for path in root.glob("runs/*/*/progress.json"))
    return sorted(_parsed(texts), key=lambda run: -run.began_ms)


def ended(root: Path, most: int) -> list[TrainingProgress]:
    """Return the newest runs that have ended, the newest first."""
    lines = _text(root / LOG).splitlines()[-most:]
    return list(_parsed(reversed(lines)))


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:  # the run has ended meanwhile
        return ""


def _parsed(texts: Iterable[str]) -> Iterator[TrainingProgress]:
    """Yield the progress in each text; skip what is incomplete."""
    for text in texts:
        try:
            yield TrainingProgress(**json.loads(text))
        except (ValueError, TypeError):
            continue
