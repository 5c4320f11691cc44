"""Standard input, output and error, as the caller has left them."""

import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))  # by their numbers


def open_standard_streams() -> None:
    """Put /dev/null in the place of standard input, output or error where the caller has closed it.

    Otherwise the next file or socket gets its number: what a library writes to standard error would go to Redis.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - it stays open
    if isinstance(sys.stdout, TextIOWrapper):
        with suppress(OSError):  # it flushes, which not every stream allows
            sys.stdout.reconfigure(errors="backslashreplace")  # what the terminal's encoding lacks is escaped
