"""Files in a user's directory that have the names of our modules and of those that we import."""

from collections.abc import Iterable
from pathlib import Path

OURS = ("dashboard.py", "tidecast.py", "trainer/__init__.py", "trainer/retrain/main.py", "worker.py")
# Names of the standard library and of packages that every command imports, or the retraining's child.
OTHERS = (
    "contextlib.py",
    "json.py",
    "numpy.py",
    "pydantic.py",
    "selectors.py",
    "signal.py",
    "tensorflow.py",
    "types.py",
)


def lay_traps(folder: Path, names: Iterable[str]) -> None:
    """Write files that would end whatever imports them, and leave a mark."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(folder / 'imported')!r}, 'a').write(__file__)\nraise SystemExit('hijacked')\n")
