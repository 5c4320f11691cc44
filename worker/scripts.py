"""Load the Lua scripts that run inside Redis."""

from importlib.resources import files

# The scripts that need the functions of ids.lua.
COMPARING = ("acquire", "change", "close", "commit", "known", "retain", "route")


def script_of(name: str) -> str:
    """Return the text of a Lua script, with the shared functions that it uses."""
    folder = files("worker") / "lua"
    shared = (folder / "ids.lua").read_text() if name in COMPARING else ""
    return shared + (folder / f"{name}.lua").read_text()
