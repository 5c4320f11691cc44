"""Run one benchmark or all: prints a table, and with `--json` one object as the last line.

A benchmark is a module of this package with `options(parser)`, which adds its own options, and
`measure(args)`, which returns its figures by name. It is imported only when it runs.
"""

import argparse
import importlib
import json
import pkgutil
from collections.abc import Mapping

import benchmarks
from tidecast.settings import cores
from tidecast.tools.sizing.machine import processor_name


def main(argv: list[str] | None = None) -> None:
    """Run the benchmark named on the command line; without a name, run all with their default options."""
    names = sorted(m.name for m in pkgutil.iter_modules(benchmarks.__path__) if not m.name.startswith("_"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", add_help=False, description=__doc__)
    parser.add_argument("name", nargs="?", choices=names, help="which one; all when left out")
    parser.add_argument("--json", action="store_true", help="print the figures as one object on the last line")
    chosen, rest = parser.parse_known_args(argv)
    if not chosen.name and not {"-h", "--help"}.isdisjoint(rest):
        parser.print_help()
        return
    print(processor())
    figures: dict[str, float] = {}
    for name in [chosen.name] if chosen.name else names:
        measured = run(name, rest)
        # Several benchmarks may have a figure of the same name: where all run, the benchmark's name is a prefix.
        figures |= measured if chosen.name else {f"{name}.{figure}": value for figure, value in measured.items()}
        show(name, measured)
    if chosen.json:
        print(json.dumps({"figures": figures, "processor": processor()}))


def run(name: str, argv: list[str]) -> dict[str, float]:
    """Run one benchmark with its own options."""
    module = importlib.import_module(f"benchmarks.{name}")
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name} [--json]", description=module.__doc__)
    module.options(parser)
    figures: dict[str, float] = module.measure(parser.parse_args(argv))
    return figures


def show(name: str, figures: Mapping[str, float]) -> None:
    """Print a benchmark's figures as a table."""
    width = max(map(len, figures), default=0)
    print(f"\n{name}")
    for figure, value in figures.items():
        print(f"  {figure:<{width}}  {value:>12,.3f}")


def processor() -> str:
    """Return the processor's name and the cores for this process, as figures of two machines are not comparable."""
    return f"{processor_name()}, {cores()} cores"


if __name__ == "__main__":
    main()
