"""Whether a schedule is kept: by default where it can work, and with a reason and a remedy where it cannot."""

import errno
import os
import sys
import tempfile
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from tidecast.schedule_choice import PACKAGES, choose_schedule, missing_packages
from tidecast.settings import Settings, load_settings


class Hider:
    """A finder that lets packages look as if they were not installed.

    Args:
        names: of the packages.
        loudly: raise an error, as some do, instead of leaving the name to the finders behind.
    """

    def __init__(self, *names: str, loudly: bool = True) -> None:
        self._names = names
        self._loudly = loudly

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        """Refuse the hidden names, and leave all others to the next finder."""
        if name in self._names and self._loudly:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return None


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Hide packages for the length of a test."""
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [Hider(*names), *sys.meta_path])


def told(settings: Settings, **retrain: Any) -> Settings:
    """Return the settings with these of `retrain`."""
    return settings.model_copy(update={"retrain": settings.retrain.model_copy(update=retrain)})


def test_where_it_can_work_the_schedule_is_on_by_default(settings: Settings) -> None:
    """A plain worker retrains: the promised behaviour needs no setting."""
    choice = choose_schedule(settings)
    assert (True, True, 6 * 3600) == (choice.on, choice.by_default, choice.retrain.every)
    assert "every 6h, by default" == str(choice)


@pytest.mark.parametrize(
    ("given", "line"),
    [({"every": 7200.0}, "every 2h"), ({"every": 604_800.0}, "every 7d"), ({"cron": "0 3 * * *"}, "cron 0 3 * * *")],
)
def test_a_schedule_that_is_set_is_kept_as_it_is(settings: Settings, given: dict[str, Any], line: str) -> None:
    """The default replaces nothing that an operator has written."""
    choice = choose_schedule(told(settings, **given))
    assert (True, False, line) == (choice.on, choice.by_default, str(choice))


@pytest.mark.parametrize("hidden", PACKAGES)
def test_without_one_of_the_training_packages_it_is_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, hidden: str
) -> None:
    """The line names the package, the command that installs it, and the way to retrain on another machine."""
    hide(monkeypatch, hidden)
    line = str(choose_schedule(settings))
    assert line.startswith(f"off here: the training packages are not installed ({hidden}); ")
    assert "pip install 'tidecast[train]'" in line
    assert "tidecast retrain --daemon" in line


def test_a_package_that_is_only_half_there_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupted installation must not end a worker with a traceback."""
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert ["tensorflow"] == missing_packages()


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT])
def test_with_a_store_that_cannot_be_written_it_is_off(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A run would train for minutes and then fail to publish; the line names the store and the reason."""

    def refuse(**_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    line = str(choose_schedule(settings))
    assert line.startswith(f"off here: the store {settings.store} cannot be written ({os.strerror(number)}); let this")


def test_a_store_that_is_still_to_be_made_can_be_written_if_its_folder_can(settings: Settings, tmp_path: Path) -> None:
    """A first start has no store yet; looking does not make one."""
    deep = settings.model_copy(update={"store": tmp_path / "a" / "b" / "models"})
    assert choose_schedule(deep).on
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("below", ["", "models"])
def test_a_store_in_the_place_of_a_file_cannot_be_written(settings: Settings, tmp_path: Path, below: str) -> None:
    """Neither the file itself nor a folder below it."""
    (tmp_path / "file").touch()
    choice = choose_schedule(settings.model_copy(update={"store": tmp_path / "file" / below}))
    assert "Not a directory" in choice.why_off


@pytest.mark.parametrize("hidden", [(), ("tensorflow",)])
def test_never_means_never(settings: Settings, monkeypatch: pytest.MonkeyPatch, hidden: tuple[str, ...]) -> None:
    """It does not matter which packages are installed: an operator sets it once."""
    hide(monkeypatch, *hidden)
    assert 'off here: retrain.every is "never"; set it to a duration such as "6h"' == str(
        choose_schedule(told(settings, every="never"))
    )


def test_never_comes_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """As any setting."""
    monkeypatch.setenv("TIDECAST_RETRAIN__EVERY", "never")
    assert not choose_schedule(load_settings()).on
