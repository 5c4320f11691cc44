"""`tidecast size`: the capacity of a machine, and the workers, partitions and memory that a load needs."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tidecast.cli.options import JsonOption
from tidecast.durations import duration_text, seconds_of
from tidecast.errors import SettingsError
from tidecast.settings import Settings, load_settings

if TYPE_CHECKING:
    from tidecast.tools.sizing.coefficients import Coefficients
    from tidecast.tools.sizing.plan import Workload


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """The series of a load, and how often each has a reading."""

    series: Annotated[int | None, typer.Option(help="The number of series of a load; needs --every.", min=1)] = None
    every: Annotated[
        str | None, typer.Option(help="The time between two readings of a series, such as 10s; needs --series.")
    ] = None

    def numbers(self) -> tuple[int, float] | None:
        """Return the number of series and the seconds between two readings of one; None without a load.

        Raises:
            SettingsError: one of them is missing, or the time is not a duration above 0.
        """
        if self.series is None and self.every is None:
            return None
        if self.series is None or self.every is None:
            raise SettingsError(f"{'--series' if self.series is None else '--every'} is missing: give both, or neither")
        every_s = seconds_of(self.every, "--every")
        if every_s <= 0:
            raise SettingsError(f"--every is {self.every!r}: use a time above 0, such as 10s")
        return self.series, every_s


def size(
    *,
    load: LoadOptions,
    model: Annotated[
        Literal["none", "own", "shared", "both"],
        typer.Option(help="The networks of each series: its own LSTM, one shared with its cohort, both, or none."),
    ] = "both",
    units: Annotated[int, typer.Option(help="The units of an own LSTM.", min=1, max=1024)] = 50,
    redis: Annotated[str | None, typer.Option(help="Measure with this idle Redis instead of an embedded one.")] = None,
    coefficients: Annotated[
        Path | None, typer.Option(help="Use the coefficients in this output of --json instead of measuring.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure this machine, and compute how much it can serve, or what a load needs."""
    from tidecast.tools.sizing.coefficients import stored_coefficients
    from tidecast.tools.sizing.plan import Workload

    numbers = load.numbers()
    if redis is not None and coefficients is not None:
        raise SettingsError("--redis and --coefficients exclude each other: leave out one of them")
    settings = load_settings()
    measured = stored_coefficients(coefficients) if coefficients else _measured(redis, settings, units)
    _print(measured, Workload(model, units, settings), numbers, as_json=as_json)


def _print(measured: "Coefficients", workload: "Workload", load: tuple[int, float] | None, *, as_json: bool) -> None:
    """Print the capacity of the machine, and what the load needs."""
    from tidecast.tools.sizing.plan import capacity_of, needs_of
    from tidecast.tools.sizing.text import capacity_lines, need_lines

    capacity = capacity_of(measured, workload)
    needs = needs_of(measured, workload, *load) if load else None
    if as_json:
        answer = {
            "coefficients": measured.model_dump(),
            "model": workload.model,
            "units": workload.units,
            "capacity": asdict(capacity) | {"most_per_s": capacity.most_per_s, "bound": capacity.bound},
            "needs": asdict(needs) if needs else None,
        }
        print(json.dumps(answer, indent=1))
        return
    print("\n".join(capacity_lines(measured, workload, capacity)))
    if load and needs:
        named = f"{load[0]:,} series every {duration_text(load[1])}"
        print("\n".join(need_lines(measured, workload, needs, named)))


def _measured(redis: str | None, settings: Settings, units: int) -> "Coefficients":
    from tidecast.tools.sizing.calibration import calibrate

    print("Measuring this machine, which should be idle …", file=sys.stderr)
    return calibrate(settings, redis, units=units)
