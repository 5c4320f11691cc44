"""The settings of what is known ahead: special days and the calendar, by series."""

from datetime import date
from zoneinfo import available_timezones

from pydantic import Field, field_validator

from tidecast.settings.groups import Group
from tidecast.settings.patterns import matches
from tidecast.suggestions import did_you_mean


class CalendarRule(Group):
    """The special days and the clock of the series of a pattern."""

    pattern: str = Field("*", description="Which series: a pattern of their names, such as `shop-*`.")
    country: str = Field(
        "", description="Whose public holidays count, by its code in ISO 3166, such as `DE`. Empty: none."
    )
    subdivision: str = Field("", description="The part of the country whose holidays count too, such as `BY`.")
    dates: tuple[date, ...] = Field((), description="Further special days, such as [2026-11-27].")
    zone: str = Field("UTC", description="The zone in which days begin, such as `Europe/Berlin`.")
    calendar: bool = Field(False, description="Whether hour, weekday and time of year are inputs too.")

    @field_validator("zone")
    @classmethod
    def _exists(cls, zone: str) -> str:
        zones = available_timezones()
        if zone not in zones:
            raise ValueError(f"{zone!r} is not a time zone: {did_you_mean(zone, sorted(zones))}")
        return zone


class KnownSettings(Group):
    """The settings of known values: how many are kept, and the special days and clocks of series."""

    kept: int = Field(1_000_000, ge=1, description="About how many entries of known values stay in their stream.")
    calendars: tuple[CalendarRule, ...] = Field(
        (), description="Special days and clocks by series; the first pattern that matches counts."
    )

    def rule_of(self, series: str) -> CalendarRule | None:
        """Return the rule of a series; None: it has none."""
        return next((rule for rule in self.calendars if matches(series, rule.pattern)), None)
