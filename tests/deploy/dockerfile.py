"""The Dockerfile and .dockerignore, read without a container engine."""

import re
import shlex
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def stages() -> dict[str, dict[str, list[str]]]:
    """Return the Dockerfile's stages in order: name -> instruction -> its arguments, one string each."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    by_name: dict[str, dict[str, list[str]]] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        instruction, rest = line.split(maxsplit=1)
        if instruction == "FROM":
            image, _, name = rest.split()
            stage = by_name[name] = {"FROM": [image]}
        else:
            stage.setdefault(instruction, []).append(rest)
    return by_name


def copied() -> set[str]:
    """Return the files and directories of the repository that any stage copies."""
    lines = [line for stage in stages().values() for line in stage.get("COPY", []) if not line.startswith("--from")]
    return {source.rstrip("/") for line in lines for source in shlex.split(line)[:-1]}


def ignored(path: str) -> bool:
    """Return whether .dockerignore keeps a path out of the build: the last line that matches it or a parent decides."""
    places = [path, *map(str, Path(path).parents)][:-1] if "/" in path else [path]
    excluded = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        names = [Path(place).name for place in places] if "**/" in line else places
        if line and not line.startswith("#") and any(fnmatch(name, pattern) for name in names):
            excluded = not line.startswith("!")
    return excluded


def is_pinned(image: str) -> bool:
    """Return whether an image's tag does not wander."""
    tag = image.partition(":")[2]
    return bool(re.match(r"v?\d+\.\d+", tag)) or "@sha256:" in image
