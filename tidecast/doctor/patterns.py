"""Check that the patterns of series in the settings have an effect."""

from collections.abc import Iterator, Mapping, Sequence

from tidecast.connection.known_series import MOST, answered_series
from tidecast.doctor.finding import Case, Finding
from tidecast.settings import Settings
from tidecast.settings.patterns import matches
from tidecast.suggestions import most_similar


def patterns(case: Case) -> Iterator[Finding]:
    """Check that each pattern matches a series, and that some series is left to it by those before."""
    by_setting = {setting: given for setting, given in _patterns(case.settings).items() if given}
    names = list(answered_series(case.redis, case.settings)) if by_setting else []
    if not 0 < len(names) < MOST:  # beyond, not all names are read
        return
    for setting, given in by_setting.items():
        for place, pattern in enumerate(given):
            for problem, remedy in _problems(pattern, given[:place], names):
                yield Finding("patterns", "warning", f"pattern {pattern!r} in {setting} {problem}", remedy)


def _patterns(settings: Settings) -> Mapping[str, Sequence[str]]:
    """Return the patterns by setting, in their order."""
    return {
        "anomalies.series": [override.pattern for override in settings.anomalies.series],
        "experts.series": [expert.pattern for expert in settings.experts.series],
        "series.units": list(settings.series.units),
    }


def _problems(pattern: str, before: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield why a pattern has no effect, with the remedy."""
    matched = [name for name in names if matches(name, pattern)]
    if not matched:
        similar = most_similar(pattern, names)
        problem = "matches no series" + (f"; the most similar one is {similar!r}" if similar else "")
        yield problem, "correct the pattern, or delete it if no such series will come"
        return
    hiding = [earlier for earlier in before if all(matches(name, earlier) for name in matched)]
    if hiding:
        problem = f"has no effect: {hiding[0]!r} comes first and matches the same series"
        yield problem, "put it before that pattern, as the first that matches counts, or delete it"
