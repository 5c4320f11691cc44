"""Times and durations as people write them: one parser, one sentence."""

import re

import pytest

from tidecast.cli.times import LAST_SEQ, ago_ms, since_id
from tidecast.durations import LONGEST_MS, duration_text, seconds_of
from tidecast.errors import SettingsError
from tidecast.moments import moment_ms
from tidecast.settings import load_settings

NOW_MS = 1_800_000_000_000  # 2027-01-15T08:00Z
MARCH_MS = 1_772_323_200_000  # 2026-03-01T00:00Z
HOUR_MS = 3_600_000


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("45s", 45_000),
        ("90m", 90 * 60_000),
        ("12h", 12 * HOUR_MS),
        ("7d", 7 * 24 * HOUR_MS),
        ("2w", 14 * 24 * HOUR_MS),
        ("250ms", 250),
        ("1h30m", 90 * 60_000),
        ("1d12h", 36 * HOUR_MS),
        ("0s", 0),
        ("90", 90_000),
        ("0.25", 250),
        ("999999d", LONGEST_MS),
    ],
)
def test_a_duration_is_numbers_with_units_or_seconds(text: str, ms: int) -> None:
    """The forms are the same in every setting, and one that is shown can be read again."""
    assert ms / 1000 == seconds_of(text) == seconds_of(duration_text(ms / 1000))


def test_a_duration_is_shown_in_its_largest_units() -> None:
    """Below a millisecond it is a plain number of seconds."""
    assert ["7d", "1h30m", "250ms", "0s", "1e-05"] == [duration_text(s) for s in (604_800, 5400, 0.25, 0, 1e-5)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h",
        "6 hours",
        "1.5h",
        "-1d",
        "-1",
        "inf",
        "1e3",
        "+1d",
        "7D",
        "1h 30m",
        "1000000d",
        "soon",
        "7d\n",
        "\u0667d",
        "1y",
        "P7D",
    ],
)
def test_what_is_not_a_duration_is_refused_with_the_forms(text: str) -> None:
    """The message names the option, the text, and the valid forms."""
    with pytest.raises(SettingsError) as caught:
        seconds_of(text, "--interval")
    assert str(caught.value).startswith(f"--interval {text!r} is not a duration: write numbers with units, such as 7d")


@pytest.mark.parametrize("text", ["999999w", "999999999999"])
def test_a_duration_beyond_all_bounds_is_refused(text: str) -> None:
    """The resulting time must be valid."""
    with pytest.raises(SettingsError, match=f"'{text}' is too long: use 999999d at most"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1h", NOW_MS - HOUR_MS),
        ("999999d", 0),
        ("2026-03-01", MARCH_MS),
        ("2026-03-01T00:00Z", MARCH_MS),
        ("2026-03-01 00:00", MARCH_MS),
        ("2026-03-01T01:00+01:00", MARCH_MS),
        ("2026-03-01T01:00:00.000+0100", MARCH_MS),
        ("1969-12-31", 0),
        (str(MARCH_MS), MARCH_MS),
        ("0", 0),
    ],
)
def test_a_time_is_a_duration_ago_a_date_a_time_or_epoch_milliseconds(text: str, ms: int) -> None:
    """Whichever is at hand."""
    assert ms == moment_ms(text, NOW_MS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("soon", "is not a time: write how long ago it is, as 7d or 12h, a date such as 2026-03-01"),
        ("", "is not a time"),
        ("yesterday", "is not a time"),
        ("-1h", "is not a time"),
        ("2026-13-01", "is not a time (month must be in 1..12)"),
        ("2026-02-30", "is not a time (day is out of range for month)"),
        ("01.03.2026", "is not a time"),
        ("2026-03", "is not a time"),
        ("12:00", "is not a time"),
        ("2026-03-01112:00:00Z", "is not a time"),
        ("2027-03-01", "is in the future"),
        ("7", "has no unit: write how long ago it is, as 7d"),
        ("99999999999", "has no unit"),
        ("1772323200", "looks like seconds: write milliseconds, 1772323200000"),
        ("20260301", "looks like a date: write 2026-03-01"),
    ],
)
def test_what_is_not_a_time_in_the_past_is_refused(text: str, words: str) -> None:
    """This includes texts that a lenient parser would read in its own way."""
    with pytest.raises(SettingsError, match=re.escape(f"--since {text!r} {words}")):
        moment_ms(text, NOW_MS, "--since")


@pytest.mark.parametrize(
    ("text", "entry_id"),
    [
        ("$", "$"),
        ("now", "$"),
        ("0", "0"),
        ("0-0", "0-0"),
        ("5", "5"),
        ("1772323200000", "1772323200000"),
        ("1772323200000-7", "1772323200000-7"),
        ("2026-03-01", f"{MARCH_MS - 1}-{LAST_SEQ}"),
        ("1970-01-01", "0"),
    ],
)
def test_a_stream_is_followed_from_an_entry_id_or_from_a_time(text: str, entry_id: str) -> None:
    """The entries of the very millisecond are among them."""
    assert entry_id == since_id(text)


def test_a_stream_is_followed_from_so_long_ago() -> None:
    """By the clock here."""
    ms, seq = map(int, since_id("1h").split("-"))
    assert (LAST_SEQ, True) == (seq, 0 <= ago_ms("1h") - ms <= 240_000)


@pytest.mark.parametrize("text", ["soon", "1-", "-", "12-34-56", "1 h", "1772323200", "99999999-99-99"])
def test_what_is_neither_a_time_nor_an_entry_id_is_refused(text: str) -> None:
    """Redis was blamed for it."""
    with pytest.raises(SettingsError, match=f"^--since '{text}' "):
        since_id(text)


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"worker": {"retention": "7d"}}, 604_800.0),
        ({"worker": {"retention": "90"}}, 90.0),
        ({"worker": {"lease": "250ms"}}, 0.25),
        ({"worker": {"block": "10ms"}}, 0.01),
        ({"retrain": {"jitter": "5m"}}, 300.0),
        ({"redis_timeout": "2s"}, 2.0),
        ({"retrain": {"every": "1h30m"}}, 5400.0),
        ({"retrain": {"timeout": "2w"}}, 1_209_600.0),
        ({"retrain": {"every": 60}}, 60.0),
        ({"retrain": {"every": "never"}}, "never"),
        ({"retrain": {"memory": "4GB"}}, 4 * 2**30),
        ({"worker": {"batch_bytes": "4096"}}, 4096),
        ({"retrain": {"since": "2026-03-01"}}, "2026-03-01"),
        ({"retrain": {"since": "90d"}}, "90d"),
    ],
)
def test_settings_take_the_same_durations_times_and_sizes(given: dict[str, object], value: object) -> None:
    """In Python a duration is in seconds, and a size in bytes."""
    settings = load_settings(**given)
    [(name, inner)] = given.items()
    group = getattr(settings, name)
    assert value == (getattr(group, next(iter(inner))) if isinstance(inner, dict) else group)
