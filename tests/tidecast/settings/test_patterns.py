"""Patterns of series: in rules, units and options."""

import pytest

from tidecast.settings import AnomalySettings, SeriesSettings
from tidecast.settings.patterns import matches


@pytest.mark.parametrize(
    ("series", "pattern", "expected"),
    [
        ("boiler-7", "boiler-*", True),
        ("Boiler-7", "boiler-*", False),
        ("pump[1]", "pump[1]", True),
        ("pump1", "pump[1]", True),
        ("pump[1]", "pump[[]1]", True),
        ("pump[1]", "pump[2]", False),
    ],
)
def test_a_name_matches_itself_even_if_it_has_brackets(series: str, pattern: str, expected: bool) -> None:
    """A person writes the name; that brackets are special in patterns is easily missed."""
    assert expected is matches(series, pattern)
    muted = AnomalySettings(series=[{"pattern": pattern, "muted": True}])
    assert expected is muted.rule_of(series).muted
    assert ("bar" if expected else "") == SeriesSettings(units={pattern: "bar"}).unit_of(series)
