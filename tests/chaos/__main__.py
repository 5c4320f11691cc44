"""`python -m tests.chaos`: the long run; the suite has a short one."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.chaos.harness import kill_run


def main() -> int:
    """Run, print what happened, and exit 1 if anything that was promised was not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = kill_run(Path(folder), options.readings, options.kills, options.seed)
    found = report.violations
    figures = {
        "readings": report.readings,
        "kills": report.kills,
        "bites": report.bites,
        "missing": found.missing,
        "duplicated": found.duplicated,
        "disordered": found.disordered,
        "wrong_value": found.wrong_value,
    }
    if options.json:
        print(json.dumps({"figures": figures}))
    else:
        print("\n".join(f"{name:12} {value}" for name, value in figures.items()))
    print("\n".join(found.notes[:10]), file=sys.stderr)
    return 1 if found.total() else 0


if __name__ == "__main__":
    sys.exit(main())
