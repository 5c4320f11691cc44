"""Find an expert by its source: a file, a module or an entry point."""

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tidecast.errors import SettingsError
from tidecast.own_experts.protocol import Expert

GROUP = "tidecast.experts"  # of entry points


def make_expert(source: str) -> Expert:
    """Return a new expert.

    Args:
        source: `FILE.py:NAME`, `MODULE:NAME`, or the name of an entry point of the group `tidecast.experts`. It names a
            class or a function that is called without arguments.

    Raises:
        SettingsError: the source does not exist, or returns something else than an expert.
    """
    make = _maker(source)
    try:
        expert = make()
    except (Exception, SystemExit) as exc:
        raise SettingsError(f"expert {source!r} cannot be made: {_text(exc)}: correct its code") from exc
    if not isinstance(expert, Expert):
        missing = [name for name in ("rows", "fit", "predict", "state", "restore") if not hasattr(expert, name)]
        raise SettingsError(f"expert {source!r} lacks {', '.join(missing)}: see the how-to page on own experts")
    if not (isinstance(expert.rows, int) and expert.rows >= 1):
        raise SettingsError(f"expert {source!r} has rows = {expert.rows!r}: use a whole number of at least 1")
    return expert


def _maker(source: str) -> Callable[[], Any]:
    place, separator, name = source.rpartition(":")
    if not separator:
        return _entry_point(source)
    try:
        module = _module_of_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
    except (Exception, SystemExit) as exc:
        raise SettingsError(
            f"expert {source!r} cannot be imported: {_text(exc)}: correct the path or its code"
        ) from exc
    maker = getattr(module, name, None)
    if not callable(maker):
        raise SettingsError(f"expert {source!r}: {place} has no class or function {name!r}: correct the name")
    return maker  # type: ignore[no-any-return] # checked by `make_expert`


def _module_of_file(path: Path) -> Any:
    """Import a file once, under a name of its own, so that pickled objects find their classes again."""
    name = f"tidecast_expert_{path.stem}"
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(path.resolve()):
        return known
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None or not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _entry_point(source: str) -> Callable[[], Any]:
    points = importlib.metadata.entry_points(group=GROUP)
    if source not in points.names:
        known = ", ".join(sorted(points.names)) or "there are none"
        raise SettingsError(
            f"expert {source!r} is not an entry point of the group {GROUP} ({known}): write FILE.py:NAME or MODULE:NAME"
        )
    try:
        return points[source].load()  # type: ignore[no-any-return] # checked by `make_expert`
    except Exception as exc:
        raise SettingsError(f"expert {source!r} cannot be imported: {_text(exc)}: correct its package") from exc


def _text(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
