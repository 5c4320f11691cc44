"""The trials of a partition's new champions: who is compared with whom, and what comes of it."""

from tidecast.online.engine import Engine, Seat
from tidecast.online.shadow_test import Probation
from tidecast.online.state import SeriesState
from tidecast.wire import Event


class Trials:
    """Begins and ends trials with the models that answer.

    Args:
        engine: where the former champions answer beside the new ones.
        enough: the readings of a probation; 0: nobody is tried.

    Attributes:
        lacking: by series, the version of the former champion that a trial is waiting for.
        condemned: by series, the champion that was found worse, and the former one that shall answer again.
    """

    def __init__(self, engine: Engine, enough: int) -> None:
        self._engine = engine
        self._enough = enough
        self.lacking: dict[str, int] = {}
        self.condemned: dict[str, tuple[int, int]] = {}

    def forget(self) -> None:
        """The partition's memory is gone; its trials are remembered with the states."""
        self.lacking, self.condemned = {}, {}

    def shadow(self, series: str, state: SeriesState, seat: Seat | None) -> Seat | None:
        """The former champion of one on trial, once it is there, given the one that answers now.

        A newer version than the one heard so far is put on trial; an older one, none, or one promoted by hand, whose
        trial was somebody's decision, ends a trial.
        """
        trial = state.probation
        chosen = seat if seat and seat.published and self._enough else None
        if chosen and 0 < state.version < chosen.version and chosen.features == state.features:
            if trial is None or trial.version != chosen.version:
                state.begin_trial(chosen.version)
        elif trial and (chosen is None or trial.version != chosen.version or len(trial.record) != len(state.record)):
            state.end_trial(seat.version if seat else 0)
        self.lacking.pop(series, None)
        self.condemned.pop(series, None)
        trial, shadow = state.probation, self._engine.shadow(series)
        if trial is None:
            self._engine.drop_shadow(series)
            return None
        if trial.condemned:
            self.condemned[series] = trial.version, trial.former
        if shadow and shadow.version == trial.former:
            return shadow
        self.lacking[series] = trial.former
        return None

    def compare(self, series: str, trial: Probation, error: float, shadow_error: float) -> Event | None:
        """Compare the errors of a reading, NaN where there is none to compare; the event if there is a verdict now."""
        if trial.condemned:
            return None
        trial.compare(error, shadow_error)
        proved = trial.verdict(self._enough)
        if proved is None:
            return None
        if not proved:
            self.condemned[series] = trial.version, trial.former
        return trial.event(series)
