"""`python -m tests.chaos`: the long runs, a storm (`--minutes`) or kills (`--kills`); the suite has short ones."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.chaos.controls import CONTROLS, run_control
from tests.chaos.harness import kill_run
from tests.chaos.storm import BITES, FAULTS, StormReport, storm_run
from tests.chaos.verifier import Violations

RATE = 300  # readings a second


def main() -> int:
    """Run, print what happened, and exit 1 if anything that was promised was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, help="storm for so long, then run the controls")
    parser.add_argument("--rate", type=int, default=RATE, help="readings a second, of a storm")
    parser.add_argument("--readings", type=int, default=20_000, help="of a run of kills")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    options = parser.parse_args()
    if options.minutes is not None:
        return _storm(60 * options.minutes, options.rate, options.seed, as_json=options.json)
    return _kills(options.readings, options.kills, options.seed, as_json=options.json)


def _kills(readings: int, kills: int, seed: int, *, as_json: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = kill_run(Path(folder), readings, kills, seed)
    found = report.violations
    figures = {"readings": report.readings, "kills": report.kills, "bites": report.bites, **found.by_kind()}
    if as_json:
        print(json.dumps({"figures": figures}))
    else:
        print("\n".join(f"{name:12} {value}" for name, value in figures.items()))
    print("\n".join(found.notes[:10]), file=sys.stderr)
    return 1 if found.total() else 0


def _storm(seconds: float, rate: int, seed: int, *, as_json: bool) -> int:
    with tempfile.TemporaryDirectory() as folder:
        report = storm_run(Path(folder), seconds, rate, seed)
    controls = {}
    for name in CONTROLS:
        with tempfile.TemporaryDirectory() as folder:
            controls[name] = run_control(Path(folder), name)
    caught = sum(found.total() > 0 for found in controls.values())
    _print_table(report, controls)
    if as_json:
        print(json.dumps({"figures": _figures(report) | {"controls": len(controls), "controls_caught": caught}}))
    print("\n".join(report.violations.notes[:10]), file=sys.stderr)
    return 0 if report.violations.total() == 0 and caught == len(controls) else 1


def _figures(report: StormReport) -> dict[str, int]:
    counted = {
        "kills": "kill a worker",
        "stops": "stop a worker beyond its lease",
        "redis_kills": "kill Redis",
        "dropped_replies": "drop a reply",
        "delays": "delay",
        "half_closes": "half-close",
        "script_flushes": "SCRIPT FLUSH",
    }
    figures = {"readings": report.readings} | {name: report.injections[fault] for name, fault in counted.items()}
    return figures | {kind: report.bitten(kind) for kind in BITES} | report.violations.by_kind()


def _print_table(report: StormReport, controls: dict[str, Violations]) -> None:
    head = f"{'fault':32} {'injections':>10} " + " ".join(f"{kind:>9}" for kind in BITES) + f" {'violations':>10}"
    print(head)
    for fault in FAULTS:
        bites = " ".join(f"{report.bites[fault][kind]:9}" for kind in BITES)
        print(f"{fault:32} {report.injections[fault]:10} {bites} {'':>10}")
    bites = " ".join(f"{report.bitten(kind):9}" for kind in BITES)
    print(f"{'the whole storm':32} {report.injections.total():10} {bites} {report.violations.total():10}")
    for name, found in controls.items():
        print(f"{'control: ' + name:32} {1:10} {' '.join(['         '] * len(BITES))} {found.total():10}")


if __name__ == "__main__":
    sys.exit(main())
