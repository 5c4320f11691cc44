"""Run one benchmark, or all of them: a table for people, and under `--json` one object as the last line.

A benchmark is a module of this package with `options(parser)`, which adds its own options, and
`measure(args)`, which returns its figures by name. It is imported only when it is wanted.
"""

import argparse
import importlib
import json
import pkgutil
import platform
import re
from collections.abc import Mapping
from pathlib import Path

import benchmarks
from tidecast.settings import cores


def main(argv: list[str] | None = None) -> None:
    """Measure what the command line names; without a name, everything with its default options."""
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
        found = run(name, rest)
        # Several benchmarks may measure a figure of the same name: where all run, each says whose it is.
        figures |= found if chosen.name else {f"{name}.{figure}": value for figure, value in found.items()}
        show(name, found)
    if chosen.json:
        print(json.dumps({"figures": figures, "processor": processor()}))


def run(name: str, argv: list[str]) -> dict[str, float]:
    """Measure one benchmark with its own options."""
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
    """Return the processor's name and how many cores this process may use: figures of two machines do not compare."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        info = ""
    names = re.findall(r"^model name\s*: (.+)$", info, re.MULTILINE)
    return f"{names[0] if names else platform.processor() or platform.machine()}, {cores()} cores"


if __name__ == "__main__":
    main()
