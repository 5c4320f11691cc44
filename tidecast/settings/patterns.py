"""Match the names of series with patterns, in settings and options."""

from fnmatch import fnmatchcase


def matches(series: str, pattern: str) -> bool:
    """Return whether a pattern is the name of a series, or matches it as in `fnmatch.fnmatchcase`."""
    return series == pattern or fnmatchcase(series, pattern)
