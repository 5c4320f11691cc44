"""Numbers that are dates are kept apart from epochs."""

import pytest

from tidecast.date_numbers import date_in, why_no_epoch


@pytest.mark.parametrize(
    ("number", "likely"),
    [
        (2024, "2024-01-01"),
        (200001, "2000-01-01"),
        (20240229, "2024-02-29"),
        (20240301.0, "2024-03-01"),
        (2024030123, "2024-03-01T23:00"),
        (202403012359, "2024-03-01T23:59"),
        (20240301120000, "2024-03-01T12:00:00"),
        (45292, "2024-01-01"),
        (45292.5, "2024-01-01T12:00"),
        (36526, "2000-01-01"),
    ],
)
def test_a_number_that_is_a_date_is_read_as_one(number: float, likely: str) -> None:
    """The likely date is what a user needs to see, in whichever way it is spelled or counted."""
    assert likely == date_in(number)
    assert likely in str(why_no_epoch(number))


@pytest.mark.parametrize(
    "number",
    [0, 1, 86_400_000, -2024, 1_700_000_000, 1_700_000_000_000, 20241301, 20240230, 20240301250000, 240301, 2024.5,
     19_999, 80_000, float("nan"), float("inf")],
)  # fmt: skip
def test_a_number_that_is_no_date_is_left_alone(number: float) -> None:
    """Epochs, counters and impossible days are no dates."""
    assert date_in(number) is None
    assert why_no_epoch(number) is None
