"""A run of retraining as a process of its own, `python -m trainer.retrain.main`: told by its parent, and gone with it.

Standard input gets one line of JSON and stays open:

    {"settings": {…all settings, the address of Redis with its password…}, "partition": 0, "series": [], "force": false}

No series: those that are due. Nothing is taken from the environment or a file. The log goes to standard error, one
JSON object a line; the last line of standard output is

    {"trained": 3, "kept": 1, "refused": 0, "put_off": 0, "seconds": 41.2}

Exit codes: 0, it came to its end, whatever became of the series; 1, it failed; 2, what it was told makes no sense;
3, its standard input ended, so that nobody waits for it any more.
"""

import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

ENDED, FAILED, BAD_SETTINGS, ORPHANED = 0, 1, 2, 3  # exit codes
NICEST = 19
AUTOGROUP = Path("/proc/self/autogroup")
STDIN = 0


def main() -> int:
    """Hear what is asked for, step aside for everybody else if told so, and retrain."""
    line = _first_line()
    # Before the rest has lower priority: on a busy machine that may wait long for its turn to end.
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if _is_to_step_aside(line):
        step_aside()
    from tidecast.log import log_as_json

    log_as_json()
    import structlog

    log = structlog.get_logger("tidecast.retrain")
    log.info("begun", pid=os.getpid())
    from tidecast.errors import HistoryError, SettingsError, TidecastError

    try:
        summary = _run(line)
    except (SettingsError, ValueError) as exc:
        log.error("not understood", error=str(exc))
        return BAD_SETTINGS
    except HistoryError as exc:
        log.error("history cannot be read", error=str(exc))
        return FAILED
    except TidecastError as exc:
        log.error("failed", error=str(exc))
        return FAILED
    except Exception:
        log.exception("failed")
        return FAILED
    print(json.dumps(summary), flush=True)  # noqa: T201 - the answer
    return ENDED


def step_aside() -> None:
    """Take only the time that nobody else wants, on one thread for each product of matrices.

    The networks themselves share the cores: whole series side by side, see `trainer.fit.cohort`.
    """
    os.nice(NICEST)
    if hasattr(os, "SCHED_IDLE"):  # Linux, where it asks for no right
        with contextlib.suppress(OSError):  # but a container may forbid it, and then being nice is enough
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if os.getsid(0) == os.getpid():
        # Linux weighs sessions before it looks at who is in them (sched(7), autogroup): ours, however nice, took as
        # much as that of the worker and Redis.
        with contextlib.suppress(OSError):  # a kernel may know of no such thing
            AUTOGROUP.write_text(str(NICEST))
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"  # before NumPy is there to read it


def _is_to_step_aside(line: bytes) -> bool:
    """What the line says of it, looked at before anything is imported that takes time."""
    try:
        return json.loads(line)["settings"]["retrain"]["step_aside"] is not False
    except (ValueError, LookupError, TypeError):  # what is wrong with the line is said later
        return True


def _run(line: bytes) -> dict[str, Any]:
    """Retrain as the line says.

    Raises:
        SettingsError: a setting is not valid, or Redis contradicts it.
        ValueError: the line is none.
    """
    from tidecast.settings import told_settings

    given = json.loads(line)
    if not isinstance(given, dict) or set(given) != {"settings", "partition", "series", "force"}:
        raise ValueError("one line of JSON with settings, partition, series and force is needed")
    settings = told_settings(given["settings"])
    from trainer.retrain.job import Job, run  # only now: it brings TensorFlow

    job = Job(int(given["partition"]), tuple(given["series"]), bool(given["force"]))
    return run(settings, job).as_dict()


def _first_line() -> bytes:
    """The line, read past Python's buffer, whose lock a thread that waits for more would keep at the end."""
    line = b""
    while not line.endswith(b"\n"):
        more = os.read(STDIN, 65_536)
        if not more:
            os._exit(ORPHANED)
        line += more
    return line


def _end_with_parent() -> None:
    """End the process, wherever it is, as soon as standard input ends."""
    while os.read(STDIN, 65_536):
        pass
    os._exit(ORPHANED)


if __name__ == "__main__":
    sys.exit(main())
