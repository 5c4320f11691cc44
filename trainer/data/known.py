"""Give histories the values that are known ahead of their readings."""

from dataclasses import replace

from tidecast.errors import HistoryError
from tidecast.files.history import Histories, History
from tidecast.models.known.inputs import KnownSeries, SpecialDays
from tidecast.models.known.values import KnownValues
from tidecast.settings.known import KnownSettings
from tidecast.suggestions import listed
from trainer.data.special_days import computed_inputs, special_days


def add_known(histories: Histories, values: KnownValues | None, settings: KnownSettings) -> Histories:
    """Add what is known ahead of each accepted series.

    Args:
        histories: the histories.
        values: the values that users have given; None: there are no values.
        settings: which series have special days and a clock.

    Raises:
        SettingsError: a country does not exist.
        TidecastError: the package `holidays` is not installed.
    """
    given = KnownValues() if values is None else values
    accepted = tuple(known_history(each, given, settings) for each in histories.accepted)
    return replace(histories, accepted=accepted)


def check_matched(histories: Histories, values: KnownValues) -> None:
    """Check that values given for a training belong to one of its series at least.

    Raises:
        HistoryError: all of them are for other series.
    """
    if histories.accepted and not any(values.fields(history.series) for history in histories.accepted):
        raise HistoryError(
            f"the known values are for {listed(values.sources())}, and the readings of "
            f"{listed(history.series for history in histories.accepted)}: use the same names, or leave out the names "
            "of values that are for all series"
        )


def known_history(history: History, values: KnownValues, settings: KnownSettings) -> History:
    """Return a history with what is known ahead of it; see `add_known`."""
    rule = settings.rule_of(history.series)
    special = SpecialDays()
    if rule and len(history):
        special = special_days(rule, int(history.ts[0]), int(history.ts[-1]))
    known = KnownSeries(history.series, values, special, computed_inputs(rule) if rule else ())
    return replace(history, known=known) if known.names else history
