"""The subcommands of `tidecast`. Each is imported only when it is called or described.

Together they take 0.15 s and some megabytes, which a worker does not need.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperGroup

from tidecast.cli.groups import with_groups

PANELS: Mapping[str, Mapping[str, str]] = {  # the modules by command, in the order of the help and under its titles
    "Run and watch": {
        "demo": "operate.demo",
        "worker": "operate.worker",
        "status": "operate.status",
        "doctor": "operate.doctor",
        "dashboard": "operate.dashboard",
        "notify": "operate.notify",
    },
    "Train and judge": {
        "train": "training.train",
        "backtest": "training.backtest",
        "tune": "training.tune",
        "report": "training.report",
        "explain": "training.explain",
        "retrain": "training.retrain",
    },
    "Push and read": {
        "push": "streams.push",
        "replay": "streams.replay",
        "tail": "streams.tail",
        "events": "streams.events",
        "anomalies": "streams.events",
        "dead": "streams.dead",
    },
    "Models": {"models": "training.models"},
    "Series and data": {"series": "operate.series", "archive": "streams.archive"},
    "Capacity": {"size": "operate.size", "repartition": "operate.repartition"},
}
MODULES = {name: module for modules in PANELS.values() for name, module in modules.items()}


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


def panel_of(name: str) -> str:
    """Return the title under which the help shows a command."""
    return next(title for title, modules in PANELS.items() if name in modules)


def _imported(name: str) -> Any:
    """Return a command, or a group of commands, which its module calls `app`."""
    module = import_module(f"tidecast.cli.commands.{MODULES[name]}")
    panel = panel_of(name)
    app = typer.Typer()
    app.callback()(_none)  # makes it a group, also of a single command
    if hasattr(module, "app"):
        app.add_typer(module.app, name=name, rich_help_panel=panel)
    else:
        app.command(rich_help_panel=panel)(with_groups(getattr(module, name)))
    return cast("TyperGroup", typer.main.get_command(app)).commands[name]


def _none() -> None:
    """Do nothing before a command."""
