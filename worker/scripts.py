"""Load the Lua scripts that run inside Redis."""

from functools import cache
from importlib.resources import files

# The scripts that need the functions of ids.lua.
COMPARING = ("acquire", "change", "close", "commit", "known", "retain", "route")


@cache  # each partition that a worker takes over needs them all
def script_of(name: str) -> str:
    """Return the text of a Lua script, with the shared functions that it uses."""
    folder = files("worker") / "lua"
    shared = (folder / "ids.lua").read_text() if name in COMPARING else ""
    return shared + (folder / f"{name}.lua").read_text()
