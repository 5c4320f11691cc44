"""A system that forbids code made at run time: one sentence with a remedy, instead of fifty lines of traceback."""

import ctypes
import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.patience import PATIENCE_S
from tests.harness.processes import TIDECAST
from tidecast.compiler import compiler_imports
from tidecast.errors import SettingsError

REMEDY = "allow it, with MemoryDenyWriteExecute=no in the systemd unit, or with SELinux's boolean deny_execmem off"
PR_SET_MDWE = 65  # Linux 6.3; set by systemd's MemoryDenyWriteExecute=yes
FORBID = f"""
import ctypes, os, sys
if ctypes.CDLL(None).prctl({PR_SET_MDWE}, 1, 0, 0, 0) != 0:
    sys.exit("too old")
os.execv(sys.argv[1], sys.argv[1:])
"""
# The same call as numba's at its import, where the system has another way to refuse.
REFUSE = f"""
import sys
from llvmlite import binding

def check_jit_execution():
    raise OSError({errno.EPERM}, "cannot allocate executable memory")

binding.check_jit_execution = check_jit_execution
sys.argv[1:] = ["worker"]
from tidecast.cli.main import main
main()
"""


def ended(*command: str | Path) -> tuple[int, str]:
    """Return a command's exit code and its standard error."""
    environment = os.environ | {"TIDECAST_REDIS_URL": "redis://127.0.0.1:1"}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=Path.cwd()
    )
    return done.returncode, done.stderr


@pytest.mark.skipif(
    ctypes.CDLL(None).prctl(PR_SET_MDWE + 1, 0, 0, 0, 0) < 0,
    reason="only a kernel from Linux 6.3 on can forbid code made at run time; the tests below refuse it in other ways",
)
@pytest.mark.parametrize("words", ["worker", "worker --check", "replay"])
def test_where_the_kernel_forbids_it_a_command_says_so(tmp_path: Path, words: str) -> None:
    """Exit code 2 as for any setting that does not fit."""
    readings = tmp_path / "readings.csv"
    readings.write_text("series,ts,value\na,2024-01-01T00:00:00Z,1\n")
    more = [readings] if words == "replay" else []
    code, output = ended(sys.executable, "-c", FORBID, TIDECAST, *words.split(), *more)
    assert 2 == code
    assert output.startswith("tidecast: forecasts need code that is made at run time, and this system forbids it (")
    assert output.endswith(f"): {REMEDY}\n")
    assert 1 == output.count("\n")


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EACCES, REMEDY),
        (errno.EPERM, REMEDY),
        (errno.ENOMEM, "give this process more memory, or install it again"),
    ],
    ids=["SELinux", "seccomp", "a limit"],
)
def test_whatever_refuses_the_memory_the_remedy_fits(number: int, remedy: str) -> None:
    """Each of them raises an error of its own at the import of the compiler."""
    with pytest.raises(SettingsError, match=f": {re.escape(remedy)}$"), compiler_imports():
        raise OSError(number, "cannot allocate executable memory")


def test_a_refusal_at_the_import_is_one_sentence_of_the_command() -> None:
    """LLVM's own question, answered as seccomp would; older kernels too can run this."""
    code, output = ended(sys.executable, "-c", REFUSE)
    assert 2 == code
    assert output.endswith(f": {REMEDY}\n")
    assert 1 == output.count("\n")
