"""Take memory from the system before it is written to."""

import ctypes
import sys
from threading import Thread

from tidecast.arrays import Float32

POPULATE = 23  # MADV_POPULATE_WRITE, since Linux 5.14; older systems refuse it
PAGE = 4096  # bytes


def populate(array: Float32) -> None:
    """Let a thread take the pages of a new array, while others write to it: a worker starts half a second earlier.

    The thread does not hold Python's lock meanwhile, and changes no content. Without its help, each first write to a
    page waits for the system.
    """
    if sys.platform != "linux":
        return
    first = -(-array.ctypes.data // PAGE) * PAGE
    size = array.ctypes.data + array.nbytes - first

    def work(_owner: Float32 = array) -> None:  # keeps the array alive
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(size), POPULATE)

    if size > 0:
        Thread(target=work, name="populate", daemon=True).start()
