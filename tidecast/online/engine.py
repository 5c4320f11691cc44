"""The models of all series, stacked by shape, so that one call per shape forecasts many series.

All models of one shape lie in one slab of stacked arrays, which the compiled loops of `kernels` read: the linear
experts of `models/experts.py` and the LSTM of `models/lstm.py`. The shared network of a cohort runs over the windows of
all its series. A forecast is the same to the last bit whatever else is in the batch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from tidecast.arrays import Float, Float32, Int64
from tidecast.models.cohorts import Cohort, nearest_cohort
from tidecast.models.experts import EXPERTS, SHARED
from tidecast.models.gross_errors import NO_LIMITS
from tidecast.models.inputs import rows_read
from tidecast.models.model import MAX_SEASON, Champion, Model, Models, network_seasons, part_at
from tidecast.online.kernels.networks.inputs import prepare
from tidecast.online.kernels.networks.threads import Threads
from tidecast.online.kernels.networks.weight_layout import WeightLayout
from tidecast.online.kernels.rows import Rows
from tidecast.online.kernels.series_rows import NONE
from tidecast.online.known_rows import KnownAhead
from tidecast.online.pretrained_network import PretrainedNetwork
from tidecast.online.requests import Requests
from tidecast.online.slab import Key, ModelSlot, Slab, network_forecasts

ROWS_AT_ONCE = 1024  # windows prepared at once: bounds the memory to some tens of megabytes


@dataclass(frozen=True, slots=True)
class Shared:
    """A cohort's network, and its weights in the kernel's layout: a slab with one row."""

    number: int
    model: Model
    layout: WeightLayout
    slab: Float32

    @classmethod
    def of(cls, number: int, model: Model) -> Self:
        """Pack a network's weights."""
        layout = WeightLayout(model.spec)
        slab = layout.slab(1)
        layout.write(slab, Models.of(model).weights)
        return cls(number, model, layout, slab)


class Engine:
    """The champions of all series, stacked by shape, and the networks that cohorts share.

    Args:
        threads: how many threads compute a batch's networks; forecasts do not depend on it.
    """

    def __init__(self, threads: int = 1) -> None:
        self._threads = Threads(threads)
        self._pretrained = PretrainedNetwork(self._threads)
        self._slabs: dict[Key, Slab] = {}
        self._slots: dict[str, ModelSlot] = {}
        self._shadows: dict[str, ModelSlot] = {}  # former champions that new ones are compared with
        self._shared: dict[str, Shared] = {}
        self._cohorts: dict[str, Cohort] = {}
        self._expected = 0

    def __len__(self) -> int:
        return len(self._slots)

    @property
    def created_ms(self) -> list[int]:
        """Return when each champion was made, epoch milliseconds."""
        return [slot.created_ms for slot in self._slots.values()]

    @property
    def reads_known(self) -> bool:
        """Return whether any model has inputs that are known ahead."""
        return any(slab.known for slab in self._slabs.values())

    @property
    def has_cohorts(self) -> bool:
        """Return whether any cohort has a network."""
        return bool(self._shared)

    def slot(self, series: str) -> ModelSlot | None:
        """Return the slot of the series' champion, None if it has no champion."""
        return self._slots.get(series)

    def expect(self, models: int) -> None:
        """Set the expected number of models, so that the slabs grow to it at once without repeated copying."""
        self._expected = models

    def shadow(self, series: str) -> ModelSlot | None:
        """Return the slot of the series' shadow, None if it has no shadow."""
        return self._shadows.get(series)

    def put(self, series: str, version: int, model: Model, *, published: bool = True) -> None:
        """Use this model to forecast the series from the next call on."""
        self.put_all([Champion(series, version, published)], Models.of(model))

    def put_all(self, champions: Sequence[Champion], models: Models) -> None:
        """Use these models, in the same order, to forecast their series from the next call on."""
        self._put(self._slots, champions, models)

    def put_shadow(self, series: str, version: int, model: Model) -> None:
        """Run this model as a shadow beside the series' champion."""
        self._put(self._shadows, [Champion(series, version, published=True)], Models.of(model))

    def _put(self, slots: dict[str, ModelSlot], champions: Sequence[Champion], models: Models) -> None:
        header = models.headers[0]
        spec = header.spec
        experts = [tuple(i for i, rows in enumerate(needs) if rows) for needs in models.panel.needs.tolist()]
        for chosen in dict.fromkeys(experts):
            key = (spec if header.network else None, spec.columns, spec.known, models.panel.lags.shape[1], chosen)
            slab = self._slabs.get(key)
            if slab is None:
                slab = self._slabs[key] = Slab(len(self._slabs), key, self._threads)
            places = [place for place, its in enumerate(experts) if its == chosen]
            some = models if len(places) == len(experts) else models.chosen(places)
            self._put_into(slab, slots, [champions[place] for place in places], some)

    def _put_into(self, slab: Slab, slots: dict[str, ModelSlot], champions: Sequence[Champion], models: Models) -> None:
        olds = [slots.get(champion.series) for champion in champions]
        for old in olds:
            if old and old.slab is not slab:
                old.slab.release(old.row)
        own = [old.row if old and old.slab is slab else None for old in olds]
        rows = slab.put(models, own, self._expected / max(1, len(self._slots)))
        errors = models.panel.errors.copy()  # the arrays of models keep their whole files in memory
        for place, (champion, row, most_rows) in enumerate(zip(champions, rows, models.rows, strict=True)):
            header = models.headers[place]
            newest = part_at(models.newest, place)
            profiles = part_at(models.profiles, place)
            slots[champion.series] = ModelSlot(
                slab=slab,
                row=row,
                version=champion.version,
                features=header.spec.features,
                step_ms=header.step_ms,
                gridded=header.gridded,
                rows=most_rows,
                seasons=header.seasons,
                half_width=header.half_width,
                largest_move=header.largest_move,
                known=header.known or NO_LIMITS,
                errors=errors[place],
                shared=header.shared,
                trained_until=header.span[1],
                created_ms=header.created_ms,
                published=champion.published,
                newest=newest and newest.copy(),
                online=None if models.online is None else models.online[place].copy(),
                own=models.owns[place],
                profiles=profiles and profiles.copy(),
            )

    def put_shared(self, cohort: str, model: Model) -> None:
        """Use this network to forecast the series of a cohort from the next call on."""
        old = self._shared.get(cohort)
        self._shared[cohort] = Shared.of(old.number if old else len(self._shared), model)
        self._cohorts[cohort] = Cohort.of(cohort, model.header)

    def drop(self, series: str) -> None:
        """Remove the series' champion."""
        _release(self._slots.pop(series, None))

    def drop_shadow(self, series: str) -> None:
        """Remove the series' shadow."""
        _release(self._shadows.pop(series, None))

    def rename(self, old: str, new: str) -> None:
        """Let the champion and the shadow of a series forecast under a new name, in place of any of that name."""
        for slots in (self._slots, self._shadows):
            if slot := slots.pop(old, None):
                _release(slots.get(new))
                slots[new] = slot

    def cohort_of(self, step_ms: float | None, target: str) -> str | None:
        """Return the cohort that fits a series of this step without a model, None if no cohort fits."""
        cohort = nearest_cohort(target, step_ms, self._cohorts.values()) if step_ms else None
        return cohort.name if cohort else None

    def rows_of(self, slot: ModelSlot | None, cohort: str | None) -> int:
        """Return how many rows of a series its experts and its cohort's network read at most."""
        network = self._shared.get(cohort) if cohort else None
        own = slot.rows if slot else 1
        if network is None:
            return own
        spec = network.model.spec
        return max(own, rows_read(spec, network_seasons(slot.seasons if slot else (), spec.seasonal)))

    def rows_without_model(self, target: str) -> int:
        """Return how many rows of a series of this target without a model any cohort's network reads at most."""
        cohorts = [name for name, cohort in self._cohorts.items() if cohort.target == target]
        return max((self.rows_of(None, name) for name in cohorts), default=1)

    def requests(
        self, slots: Sequence[ModelSlot | None], rows: Rows, next_ts: Int64, known: KnownAhead | None = None
    ) -> Requests:
        """Return requests for the forecasts of these models, and of the networks of their cohorts."""
        return Requests(
            np.array([slot.slab.number if slot else NONE for slot in slots], np.int64),
            np.array([slot.row if slot else 0 for slot in slots], np.int64),
            np.array([self.cohort_number(slot.shared if slot else None) for slot in slots], np.int64),
            rows,
            next_ts,
            known,
        )

    def cohort_number(self, cohort: str | None) -> int:
        """Return the number of a cohort's network for `Requests`, NONE if it has no network."""
        network = self._shared.get(cohort) if cohort else None
        return network.number if network else NONE

    def predict_pretrained(self, rows: Rows, seasons: Int64) -> Float:
        """Return the forecasts of the pretrained network, see `PretrainedNetwork.forecast`."""
        return self._pretrained.forecast(rows, seasons)

    def predict(self, requests: Requests) -> Float:
        """Return all experts' forecasts of the next value: `(requests, experts)`, NaN where an expert cannot."""
        forecasts = np.full((len(requests), len(EXPERTS)), np.nan)
        slabs = list(self._slabs.values())
        for number, part in _groups(requests.slabs):
            if number == NONE:
                rows = requests.rows
                forecasts[part, 0] = rows.values[rows.ends[part] - rows.widths[part]]
            else:
                slab = slabs[number]
                chosen = requests.rows.chosen(part)
                known = requests.known.chosen(part) if requests.known and slab.known else None
                forecasts[part] = slab.predict(requests.models[part], chosen, requests.next_ts[part], known)
        self._predict_shared(requests, forecasts)
        forecasts[~np.isfinite(forecasts)] = np.nan
        return forecasts

    def _predict_shared(self, requests: Requests, forecasts: Float) -> None:
        networks = list(self._shared.values())
        for number, part in _groups(requests.cohorts) if networks else ():
            if number != NONE:
                network = networks[number]
                enough = part[requests.rows.held[part] >= network.model.spec.least_rows]
                if len(enough):
                    forecasts[enough, SHARED] = self._cohort_forecasts(network, requests, enough)

    def _cohort_forecasts(self, network: Shared, requests: Requests, chosen: Int64) -> Float:
        """Return the forecasts of a cohort's network; series without a model have no change scale."""
        spec = network.model.spec
        seasons = np.zeros((len(chosen), spec.seasonal), np.int64)
        if requests.seasons is not None:
            seasons[:] = requests.seasons[chosen, : spec.seasonal]
            seasons[seasons > MAX_SEASON] = 0  # as in the training, see `network_seasons`
        scale = np.zeros((len(chosen), 1))
        for slab in self._slabs.values():
            at = np.flatnonzero(requests.slabs[chosen] == slab.number)
            if len(at):
                models = requests.models[chosen[at]]
                seasons[at] = slab.season_lengths[models, : spec.seasonal]
                scale[at, 0] = slab.change_scale[models]
        prepared = prepare(requests.rows.chosen(chosen), spec, (np.zeros_like(scale), scale), seasons)
        return network_forecasts(self._threads, prepared, network.slab, np.zeros(len(chosen), np.int64), network.layout)


def _release(slot: ModelSlot | None) -> None:
    if slot:
        slot.slab.release(slot.row)


def _groups(numbers: Int64) -> Iterator[tuple[int, Int64]]:
    """Yield each number with the places where it occurs, at most `ROWS_AT_ONCE` at a time."""
    is_one = len(numbers) > 0 and bool((numbers == numbers[0]).all())  # `unique` would take five times as long
    for number in [int(numbers[0])] if is_one else np.unique(numbers).tolist():
        places = np.flatnonzero(numbers == number)
        for first in range(0, len(places), ROWS_AT_ONCE):
            yield number, places[first : first + ROWS_AT_ONCE]
