"""Choice of the known inputs of a series: those with which a linear expert errs less on unseen rows."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tidecast.arrays import Float
from tidecast.models.known.inputs import MARK, KnownInputs, KnownSeries, with_known
from tidecast.models.model import window_seasons
from tidecast.models.time_grid import Grid
from trainer.fit.linear import NO_KNOWN, KnownTerms, unseen_errors

JUDGED = 0.25  # of the rows before the tail, the newest: they judge the inputs
MOST = 4000  # rows that take part, the newest
FEWEST = 10  # rows that judge
LEAST_GAIN = 0.02  # of the error: less is not worth the risk that it was chance
CHANCE = 2.5  # standard errors: a smaller gain may be chance


@dataclass(frozen=True, slots=True)
class KnownChoice:
    """The known inputs of a model, and the terms of its linear expert that reads them."""

    inputs: KnownInputs
    terms: KnownTerms = NO_KNOWN
    unjudged: bool = False  # too few rows have all values

    @property
    def reason(self) -> str:
        """Return a sentence about the choice for the verdict."""
        if self.inputs.names:
            return f"inputs known ahead: {', '.join(self.inputs.names)}"
        if self.unjudged:
            return "the inputs that are known ahead were left out: too few readings with all of them to judge by"
        return "the inputs that are known ahead were left out, as they help too little"


def choose_inputs(
    grid: Grid, inputs: KnownInputs, known: KnownSeries, seasons: Sequence[int], stop: int
) -> KnownChoice:
    """Choose among the pushed inputs, the computed ones and both; choose none where they gain too little.

    The best expert with known inputs is compared with the best one without, on the same unseen rows. Its gain must
    exceed 2 % of the error and 2.5 standard errors of the gain. It must exceed 2 % on the rows before these as well,
    where they can be judged: errors that depend on each other make chance gains look certain, but rarely twice.

    Args:
        grid: the series without known inputs.
        inputs: all of them.
        known: their values.
        seasons: the season lengths in rows.
        stop: rows from here on are not used.
    """
    judged = round(JUDGED * min(stop, MOST))
    first = max(0, stop - MOST)
    tried: list[KnownChoice] = []
    errors: list[tuple[Float, Float]] = []
    for choice in _choices(inputs, seasons):
        rows = range(first, stop - judged)
        pair = unseen_errors(with_known(grid, choice.inputs, known), rows, stop, choice.terms)
        if pair is not None:
            tried.append(choice)
            errors.append(pair)
    nothing = KnownChoice(inputs.chosen(()))
    if not tried:
        return replace(nothing, unjudged=True)
    table = np.array(errors)  # (choices, without and with, rows)
    table = table[:, :, np.isfinite(table).all(axis=(0, 1))]
    if table.shape[2] < FEWEST:
        return replace(nothing, unjudged=True)
    without, best = table.mean(axis=2).argmin(axis=0).tolist()
    if not _gains(table[without, 0], table[best, 1]):
        return nothing
    rows = range(first, stop - 2 * judged)
    before = [
        unseen_errors(with_known(grid, tried[i].inputs, known), rows, stop - judged, tried[i].terms)
        for i in (without, best)
    ]
    return tried[best] if _gained_before(*before) else nothing


def _choices(inputs: KnownInputs, seasons: Sequence[int]) -> Iterator[KnownChoice]:
    """Yield the sets of inputs, each with several sets of rows."""
    computed = tuple(name for name in inputs.names if name.startswith(MARK))
    pushed = tuple(name for name in inputs.names if not name.startswith(MARK))
    seasons = window_seasons(seasons)
    shortest = tuple(sorted(seasons)[:1])
    for names in dict.fromkeys((pushed, computed, pushed + computed)):
        for own in dict.fromkeys(((), shortest, tuple(seasons))):
            for lags in dict.fromkeys(((0, 1), (0, 1, *shortest))):
                if names:
                    yield KnownChoice(inputs.chosen(names), KnownTerms(len(names), lags, own))


def _gains(without: Float, known: Float) -> bool:
    gain = without - known
    chance = gain.std() / np.sqrt(len(gain))
    return bool(gain.mean() > max(LEAST_GAIN * without.mean(), CHANCE * chance))


def _gained_before(without: tuple[Float, Float] | None, known: tuple[Float, Float] | None) -> bool:
    """Return whether an expert with known inputs gains on earlier rows, or these are too few to judge by.

    Args:
        without: the errors without and with known inputs, of the best expert without.
        known: the same of the best expert with them.
    """
    if without is None or known is None:
        return True
    pair = np.array([without[0], known[1]])
    pair = pair[:, np.isfinite(pair).all(axis=0)]
    if pair.shape[1] < FEWEST:
        return True
    errors = pair.mean(axis=1)
    return bool(errors[0] - errors[1] > LEAST_GAIN * errors[0])
