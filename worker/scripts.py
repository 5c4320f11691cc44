"""The scripts that run inside Redis."""

from importlib.resources import files


def script_of(name: str) -> str:
    """Read one of the scripts that run inside Redis."""
    return files("worker").joinpath(f"{name}.lua").read_text()
