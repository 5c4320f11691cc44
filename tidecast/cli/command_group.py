"""The subcommands of `tidecast`. Each is imported only when it is called or described.

Together they take 0.15 s and some megabytes, which a worker does not need.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperGroup

from tidecast.cli.groups import with_groups

MODULES: Mapping[str, str] = {  # in the order of the help
    "demo": "operate.demo",
    "worker": "operate.worker",
    "train": "training.train",
    "archive": "streams.archive",
    "backtest": "training.backtest",
    "tune": "training.tune",
    "report": "training.report",
    "explain": "training.explain",
    "push": "streams.push",
    "replay": "streams.replay",
    "tail": "streams.tail",
    "retrain": "training.retrain",
    "events": "streams.events",
    "anomalies": "streams.events",
    "dead": "streams.dead",
    "notify": "operate.notify",
    "status": "operate.status",
    "doctor": "operate.doctor",
    "size": "operate.size",
    "repartition": "operate.repartition",
    "dashboard": "operate.dashboard",
    "models": "training.models",
    "series": "operate.series",
}


class CommandGroup(TyperGroup):
    """The group of all subcommands."""

    def __init__(self, **properties: Any) -> None:
        super().__init__(**properties)
        self.commands = cast("Any", _Commands())


class _Commands(Mapping[str, Any]):
    """The commands by name; each is imported when it is looked up."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = _imported(name)
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(MODULES)

    def __len__(self) -> int:
        return len(MODULES)


def _imported(name: str) -> Any:
    """Return a command, or a group of commands, which its module calls `app`."""
    module = import_module(f"tidecast.cli.commands.{MODULES[name]}")
    app = typer.Typer()
    app.callback()(_none)  # makes it a group, also of a single command
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name)
    else:
        app.command()(with_groups(getattr(module, name)))
    return cast("TyperGroup", typer.main.get_command(app)).commands[name]


def _none() -> None:
    """Do nothing before a command."""
