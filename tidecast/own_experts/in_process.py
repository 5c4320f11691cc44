"""Call experts of the user's own in this process, for the trainer and for backtests."""

from collections.abc import Sequence

import numpy as np
import structlog

from tidecast.arrays import Float
from tidecast.errors import SettingsError
from tidecast.online.own_experts import OwnCall, OwnFailure
from tidecast.own_experts.answers import answers_of
from tidecast.own_experts.protocol import Expert
from tidecast.own_experts.source import make_expert
from tidecast.settings import ExpertSettings

log = structlog.get_logger("tidecast.experts")


class InProcess:
    """Calls experts without limits of time and memory; one that fails has no forecast, and the log has the cause.

    Args:
        settings: which code may run.
    """

    def __init__(self, settings: ExpertSettings) -> None:
        self._settings = settings
        self._experts: dict[tuple[str, int], Expert] = {}
        self._reported: set[str] = set()  # reasons that were logged

    def forecast(self, calls: Sequence[OwnCall]) -> tuple[list[Float], list[OwnFailure]]:
        """Return the forecasts of each call, `(n,)`, NaN where an expert has no answer, and the experts that failed."""
        forecasts = []
        failures = []
        for call in calls:
            try:
                forecasts.append(answers_of(self._expert_of(call), call.windows))
            except (Exception, SystemExit) as exc:
                forecasts.append(np.full(len(call.windows), np.nan))
                reason = str(exc) if isinstance(exc, SettingsError) else f"{type(exc).__name__}: {exc}"
                failures.append(OwnFailure(call.series, f"its expert failed with {reason}"))
        for failure in failures:
            if failure.reason not in self._reported:
                self._reported.add(failure.reason)
                log.warning("an own expert failed", series=failure.series, reason=failure.reason)
        return forecasts, failures

    def _expert_of(self, call: OwnCall) -> Expert:
        key = call.series, call.version
        if key not in self._experts:
            check_named(self._settings, call)
            expert = make_expert(call.model.source)
            expert.restore(call.model.state)
            self._experts[key] = expert
        return self._experts[key]


def check_named(settings: ExpertSettings, call: OwnCall) -> None:
    """Check that the settings name the code of an expert: a model file from elsewhere must not bring any.

    Raises:
        SettingsError: they do not.
    """
    if settings.source_of(call.series) != call.model.source:
        raise SettingsError(
            f"its model has the expert {call.model.source!r}, which the settings do not name: "
            "set experts.series, or train it again"
        )
