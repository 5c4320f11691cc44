"""The shadow tests of a partition's new champions: which models are compared, and with which result."""

from tidecast.online.engine import Engine, ModelSlot
from tidecast.online.shadow_test import Probation
from tidecast.online.state import SeriesState
from tidecast.wire import Event


class ShadowTests:
    """The running shadow tests of a partition; they begin and end as models change.

    Args:
        engine: the models, which runs the former champions as shadows.
        enough: the readings of a shadow test; 0 turns the tests off.

    Attributes:
        lacking: by series, the version of the former champion that must still be loaded.
        to_roll_back: by series, the version that was found worse, and the former version that will replace it.
    """

    def __init__(self, engine: Engine, enough: int) -> None:
        self._engine = engine
        self._enough = enough
        self.shadows_to_load: dict[str, int] = {}
        self.to_roll_back: dict[str, tuple[int, int]] = {}

    def forget(self) -> None:
        """Clear the memory of the tests; the tests themselves are restored with the states."""
        self.shadows_to_load = {}
        self.to_roll_back = {}

    def shadow(self, series: str, state: SeriesState, slot: ModelSlot | None) -> ModelSlot | None:
        """Begin or end a series' shadow test; return the former champion if it is loaded, to run as the shadow.

        A version newer than the one that forecast so far starts a test. An older version, no model, or a version that
        somebody promoted by hand ends a test.

        Args:
            series: the series.
            state: its state.
            seat: its present champion.
        """
        trial = state.probation
        chosen = slot if slot and slot.published and self._enough else None
        if chosen and 0 < state.last_version < chosen.version and chosen.features == state.features:
            if trial is None or trial.version != chosen.version:
                state.begin_shadow_test(chosen.version)
        elif trial and (chosen is None or trial.version != chosen.version or len(trial.record) != len(state.record)):
            state.end_shadow_test(slot.version if slot else 0)
        self.shadows_to_load.pop(series, None)
        self.to_roll_back.pop(series, None)
        trial = state.probation
        shadow = self._engine.shadow(series)
        if trial is None:
            self._engine.drop_shadow(series)
            return None
        if trial.to_roll_back:
            self.to_roll_back[series] = trial.version, trial.former
        if shadow and shadow.version == trial.former:
            return shadow
        self.shadows_to_load[series] = trial.former
        return None

    def compare(self, series: str, trial: Probation, error: float, shadow_error: float) -> Event | None:
        """Compare the errors of a reading, where NaN does not count; return the event if the test has now ended."""
        if trial.to_roll_back:
            return None
        trial.compare(error, shadow_error)
        proved = trial.verdict(self._enough)
        if proved is None:
            return None
        if not proved:
            self.to_roll_back[series] = trial.version, trial.former
        return trial.event(series)
