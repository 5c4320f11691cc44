"""The processor and the memory of this machine."""

import os
import platform
import re
from contextlib import suppress
from pathlib import Path

LIMITS = (  # of a container, the newer kind first
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def processor_name() -> str:
    """Return the name of the processor."""
    try:
        info = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        info = ""
    names = re.findall(r"^model name\s*: (.+)$", info, re.MULTILINE)
    return names[0] if names else platform.processor() or platform.machine()


def memory_bytes() -> int:
    """Return the memory of this machine, or the limit of its container if that is lower."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in LIMITS:
        with suppress(OSError, ValueError):  # no container, or `max`
            memory = min(memory, int(path.read_text()))
    return memory
