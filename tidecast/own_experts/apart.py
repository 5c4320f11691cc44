"""Call one expert of the user's own in a process that ends afterwards, with limits of time and memory.

The process reads a pickled call from standard input and writes the forecasts to standard output.
"""

import os
import pickle
import resource
import subprocess
import sys

import numpy as np
import structlog

from tidecast.arrays import Float
from tidecast.errors import SettingsError
from tidecast.online.own_experts import OwnCall
from tidecast.own_experts.answers import answers_of
from tidecast.own_experts.in_process import check_named
from tidecast.own_experts.source import make_expert
from tidecast.settings import ExpertSettings, environment_of_one_thread
from tidecast.start import child_command

TIMEOUT_S = 30.0  # an expert may import a large library
_SHOWN = 300  # last characters of what a failed process wrote

log = structlog.get_logger("tidecast.experts")


def forecasts_apart(settings: ExpertSettings, call: OwnCall, timeout_s: float = TIMEOUT_S) -> Float | None:
    """Return the forecasts of a call, `(n,)`; None if the expert fails, takes too long or is not in the settings."""
    try:
        check_named(settings, call)
        done = subprocess.run(  # noqa: S603 - our own program
            child_command("tidecast.own_experts.apart", str(settings.memory)),
            input=pickle.dumps(call),
            capture_output=True,
            timeout=timeout_s,
            check=True,
            env=environment_of_one_thread(),
        )
        return np.frombuffer(done.stdout)
    except SettingsError as exc:
        reason = str(exc)
    except subprocess.TimeoutExpired:
        reason = f"it took longer than {timeout_s:g} s"
    except subprocess.CalledProcessError as exc:
        reason = exc.stderr.decode(errors="replace")[-_SHOWN:].strip()
    log.warning("an own expert failed", series=call.series, reason=reason)
    return None


def main(most_bytes: int) -> None:
    """Answer the call on standard input with a limit of memory."""
    resource.setrlimit(resource.RLIMIT_AS, (most_bytes, most_bytes))
    answer = os.dup(1)
    os.dup2(2, 1)  # what an expert prints
    call: OwnCall = pickle.load(sys.stdin.buffer)  # noqa: S301 - from our own process
    expert = make_expert(call.model.source)
    expert.restore(call.model.state)
    forecasts = answers_of(expert, call.windows)
    with os.fdopen(answer, "wb") as file:
        file.write(forecasts.tobytes())


if __name__ == "__main__":
    main(int(sys.argv[1]))
