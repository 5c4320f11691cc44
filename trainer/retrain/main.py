"""A retraining run as a child process, `python -m trainer.retrain.main`, which ends when its parent ends.

The parent writes one line of JSON to standard input and keeps it open:

    {"settings": {…all settings, the address of Redis with its password…}, "partition": 0, "series": [], "force": false}

Without series it trains those that are due. It reads no settings from the environment or a file. The log goes to
standard error, one JSON object per line; the last line of standard output is

    {"trained": 3, "kept": 1, "refused": 0, "put_off": 0, "seconds": 41.2}

Exit codes: 0, the run finished, whatever its verdicts; 1, it failed; 2, the input is not valid; 3, standard input
ended, because the parent is gone.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Any

from trainer.parent import ORPHANED, STDIN, end_with_parent

ENDED, FAILED, BAD_SETTINGS = 0, 1, 2  # exit codes, beside ORPHANED
NICEST = 19
AUTOGROUP = Path("/proc/self/autogroup")


def main() -> int:
    """Read the request, lower the priority if requested, and retrain."""
    line = _first_line()
    # Start this thread before the priority is lowered: on a busy machine it could else wait long to run.
    end_with_parent()
    if _is_to_step_aside(line):
        step_aside()
    from tidecast.log import begin_log

    begin_log(form="json")
    import structlog

    log = structlog.get_logger("tidecast.retrain")
    log.info("training process started", pid=os.getpid())
    from tidecast.errors import HistoryError, SettingsError, TidecastError

    try:
        summary = _run(line)
    except (SettingsError, ValueError) as exc:
        log.error("request refused", error=str(exc))
        return BAD_SETTINGS
    except HistoryError as exc:
        log.error("history cannot be read", error=str(exc))
        return FAILED
    except TidecastError as exc:
        log.error("training failed", error=str(exc))
        return FAILED
    except Exception:
        log.exception("training failed")
        return FAILED
    print(json.dumps(summary), flush=True)  # noqa: T201 - the answer
    return ENDED


def step_aside() -> None:
    """Run only when no other process needs the CPU, with one thread for each matrix product.

    Training itself uses all cores, with different series on each; see `trainer.fit.own_networks`.
    """
    os.nice(NICEST)
    if hasattr(os, "SCHED_IDLE"):  # Linux, where this needs no privilege
        with contextlib.suppress(OSError):  # a container may forbid it, and then the nice value is enough
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if os.getsid(0) == os.getpid():
        # Linux divides CPU time between sessions first (sched(7), autogroup): our session, whatever its nice value,
        # took as much as that of the worker and Redis.
        with contextlib.suppress(OSError):  # the kernel may lack autogroups
            AUTOGROUP.write_text(str(NICEST))
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"  # before NumPy is imported and reads it


def _is_to_step_aside(line: bytes) -> bool:
    """Return whether the request lowers the priority; read before any slow import."""
    try:
        return json.loads(line)["settings"]["retrain"]["low_priority"] is not False
    except (ValueError, LookupError, TypeError):  # `_run` reports the errors of the line
        return True


def _run(line: bytes) -> dict[str, Any]:
    """Retrain as the line requests, and return the summary.

    Raises:
        SettingsError: a setting is not valid, or Redis contradicts it.
        ValueError: the line is not valid.
    """
    from tidecast.settings import passed_settings

    given = json.loads(line)
    if not isinstance(given, dict) or set(given) != {"settings", "partition", "series", "force"}:
        raise ValueError("one line of JSON with settings, partition, series and force is needed")
    settings = passed_settings(given["settings"])
    from trainer.retrain.run import RetrainRequest, run  # imported only now, because it imports TensorFlow

    request = RetrainRequest(int(given["partition"]), tuple(given["series"]), bool(given["force"]))
    return run(settings, request).as_dict()


def _first_line() -> bytes:
    """Return the first line of standard input.

    It is read without Python's buffer: a thread that waits for more input would hold the buffer's lock at exit.
    """
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(STDIN, 65_536)
        if not more:
            os._exit(ORPHANED)
        line += more
    return line


if __name__ == "__main__":
    sys.exit(main())
