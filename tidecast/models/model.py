"""A trained series model: its description, its weights and its linear experts. `model_file.py` stores it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tidecast.arrays import Bools, Float, Float32, Int64
from tidecast.models import lstm
from tidecast.models.experts import LinearExperts
from tidecast.models.inputs import rows_read
from tidecast.models.known.inputs import SpecialDays
from tidecast.models.own_model import OwnModel
from tidecast.models.spec import Cycle, Spec
from tidecast.models.time_grid import Grid
from tidecast.wire.state_format import PROFILE, SEASONS, is_profile, numbers_in

FORMAT = 10  # another meaning of its numbers, those of `ONLINE` among them, raises it
MAX_SEASON = 1024  # rows: no window holds more; a longer season has a profile
LONGEST_SEASON = 1_000_000  # rows: more than the seconds of a week
MOST_SEASONS = 2  # that a network reads
PROFILE_NUMBERS = SEASONS * numbers_in(PROFILE)


Part = TypeVar("Part", "LinearExperts", "NewestRows", "SeasonProfiles")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Scores(_Frozen):
    """The rolling one-step errors of one contestant, in the series' unit; all contestants forecast the same rows."""

    mae: float
    rmse: float
    mase: float | None = None  # MAE over the training part's last-value MAE (Hyndman & Koehler 2006)


class Evidence(_Frozen):
    """The reasons for publishing a version or not: the errors on the held-out tail and the verdict."""

    rows: int  # number of scored forecasts
    season: int | None  # the season length in rows that the seasonal naive used
    scores: dict[str, Scores]  # by contestant: model, last_value, seasonal_naive, champion
    skill: float  # 1 - MAE / MAE of the last value
    verdict: str  # published, or refused with the reason


class Header(_Frozen):
    """Everything in a model file except its weights."""

    format: int = FORMAT
    series: str
    spec: Spec
    step_ms: float = Field(gt=0)
    gridded: bool = True  # False: its readings have no regular step, and each one is a row
    seasons: tuple[int, ...] = Field((), max_length=4)  # season lengths in rows, the strongest first
    calendar: tuple[Cycle, ...] = ()  # the calendar cycles that its history is long enough for
    special_days: SpecialDays = SpecialDays()  # for the known inputs that are computed from the time
    network: bool = True  # False: its history was too short for a network, it has only linear experts
    shared: str | None = None  # the cohort whose network is one of its experts
    own: str | None = None  # the source of an expert of the user's own
    own_rows: int = Field(0, ge=0)  # how many rows that expert reads
    change_scale: float = Field(1.0, gt=0)  # the mean of |d - median d| over the changes in the training part
    center: tuple[float, ...]
    scale: tuple[float, ...]
    level: float = Field(gt=0, lt=1)  # of the interval
    half_width: float = Field(ge=0)  # of the interval at that level, on the held-out tail
    largest_move: float = Field(0.0, ge=0)  # the usual largest move; 0: not known
    known: tuple[float, float] | None = None  # limits of the values of its history, but for a few strays
    span: tuple[int, int]  # epoch milliseconds of the first and last reading trained on
    judged: tuple[int, int] = (0, 0)  # the same of the held-out tail that it was tested on
    evidence: Evidence
    training: dict[str, float | int | str | bool | None] = {}
    curves: dict[str, tuple[float, ...]] = {}  # loss per epoch, by name
    libraries: dict[str, str] = {}
    created_ms: int = 0
    parent: int | None = None  # the version whose weights training started from

    @model_validator(mode="after")
    def _scaler_fits(self) -> Self:
        width = self.spec.columns
        if (len(self.center), len(self.scale)) != (width, width) or min(self.scale) <= 0:
            raise ValueError(f"the scaler needs {width} centers and {width} positive scales")
        if any(not 2 <= season <= LONGEST_SEASON for season in self.seasons):
            raise ValueError(f"a season has 2 to {LONGEST_SEASON:,} rows")
        return self

    @property
    def network_rows(self) -> int:
        """Return how many rows the network reads, including its seasonal inputs; 0 without a network."""
        spec = self.spec
        if not self.network:
            return 0
        return rows_read(spec, network_seasons(self.seasons, spec.seasonal)) if spec.seasonal else spec.window


@dataclass(frozen=True, slots=True)
class NewestRows:
    """The newest rows of a history on its grid, without a long gap between them.

    Attributes:
        ts: `(rows,)` epoch milliseconds, increasing.
        values: `(rows, features)`, finite.
        filled: `(rows,)`, 1 for a row that was interpolated or holds a gross error, else 0.
    """

    ts: Int64
    values: Float
    filled: Int64

    @classmethod
    def of(cls, grid: Grid, features: int, most: int) -> Self:
        """Return at most so many rows of a grid's last segment, without the columns after the features."""
        first = max(int(np.searchsorted(grid.segment, grid.segment[-1])), len(grid) - most)
        return cls(grid.ts[first:], grid.values[first:, :features], (~grid.measured[first:]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.ts)

    def before(self, ts: int) -> Self:
        """Return the rows before a reading of time `ts`; the last one holds a reading unless all rows are before it."""
        stop = int(np.searchsorted(self.ts, ts))
        if stop < len(self):
            stop = int(np.flatnonzero(self.filled[:stop] == 0).max(initial=-1)) + 1
        return type(self)(self.ts[:stop], self.values[:stop], self.filled[:stop])

    def copy(self) -> Self:
        """Return the same rows in arrays of their own."""
        return type(self)(self.ts.copy(), self.values.copy(), self.filled.copy())

    def are_valid(self) -> Bools:
        """Return whether the arrays, whose shapes agree, hold what they are defined to hold; of `Models`, of each."""
        increasing = np.asarray((self.ts[..., 1:] > self.ts[..., :-1]).all(axis=-1))
        marks = ~(self.filled & ~1).any(axis=-1)
        return increasing & marks & np.isfinite(self.values).all(axis=(-2, -1))


@dataclass(frozen=True, slots=True)
class SeasonProfiles:
    """The profiles of seasons too long for a window after a history: a worker goes on from them.

    Attributes:
        numbers: `(PROFILE_NUMBERS,)`, a `PROFILE` for each season; its period is 0 where the season has none.
        bins: `(SEASONS, MOST_BINS)`, NaN where not known.
    """

    numbers: Int64
    bins: Float32

    def copy(self) -> Self:
        """Return the same profiles in arrays of their own."""
        return type(self)(self.numbers.copy(), self.bins.copy())

    def are_valid(self) -> Bools:
        """Return whether the arrays, whose shapes agree, hold what they are defined to hold; of `Models`, of each."""
        sound = np.asarray(is_profile(np.ascontiguousarray(self.numbers).view(PROFILE)).all(axis=-1))
        return sound & ~np.isinf(self.bins).any(axis=(-2, -1))


@dataclass(frozen=True, slots=True)
class Model:
    """A trained series model.

    Attributes:
        header: its description.
        weights: float32, by the names of `Spec.shapes`; empty if `header.network` is False.
        panel: its linear experts.
        newest: the newest rows of its history; None: not known.
        online: the numbers of an `ONLINE` after the newest reading of its history; None: not known.
        own: an expert of the user's own; None: it has none.
        profiles: of its long seasons after that history; None without long seasons.
    """

    header: Header
    weights: Mapping[str, lstm.Array]
    panel: LinearExperts = field(default_factory=LinearExperts.naive)
    newest: NewestRows | None = None
    online: Int64 | None = None
    own: OwnModel | None = None
    profiles: SeasonProfiles | None = None

    @property
    def spec(self) -> Spec:
        """Return the network's shape."""
        return self.header.spec

    @property
    def network_rows(self) -> int:
        """Return how many rows the network reads, including its seasonal inputs; 0 without a network."""
        return self.header.network_rows

    @property
    def rows(self) -> int:
        """Return how many rows its experts read at most, without the cohort's network."""
        return max(self.panel.rows, self.network_rows, self.own.rows if self.own else 0)

    def rows_with(self, shared: "Model | None") -> int:
        """Return how many rows all its experts read at most, including its cohort's network."""
        if shared is None:
            return self.rows
        spec = shared.spec
        return max(self.rows, rows_read(spec, network_seasons(self.header.seasons, spec.seasonal)))


class Champion(NamedTuple):
    """A series' champion.

    Attributes:
        series: the series.
        version: of its model.
        published: whether it became champion by being published, not by hand or by a rollback.
    """

    series: str
    version: int
    published: bool


@dataclass(frozen=True, slots=True)
class Models:
    """Models of one shape: their arrays are those of a `Model`, with a first axis for the models."""

    headers: Sequence[Header]
    weights: Mapping[str, lstm.Array]
    panel: LinearExperts
    newest: NewestRows | None
    online: Int64 | None
    owns: Sequence[OwnModel | None]
    profiles: SeasonProfiles | None

    @classmethod
    def of(cls, model: Model) -> Self:
        """Return a single model; its arrays are views."""
        return cls([model.header], owns=[model.own], **_arrays_at(model, None))

    def model(self, place: int) -> Model:
        """Return one of the models; its arrays are views."""
        return Model(self.headers[place], own=self.owns[place], **_arrays_at(self, place))

    def chosen(self, places: Sequence[int]) -> Self:
        """Return some of the models; the arrays are copies."""
        headers = [self.headers[place] for place in places]
        return type(self)(headers, owns=[self.owns[place] for place in places], **_arrays_at(self, list(places)))

    @property
    def rows(self) -> list[int]:
        """Return how many rows the experts of each read at most, as `Model.rows`."""
        parts = zip(self.headers, self.panel.needs.tolist(), self.owns, strict=True)
        return [max(1, *needs, header.network_rows, own.rows if own else 0) for header, needs, own in parts]


def _arrays_at(models: Model | Models, index: Any) -> dict[str, Any]:
    """Return the parts that consist of arrays, each array indexed; the index None adds a first axis."""
    parts: dict[str, Any] = {name: part_at(getattr(models, name), index) for name in ("panel", "newest", "profiles")}
    parts["weights"] = {name: array[index] for name, array in models.weights.items()}
    parts["online"] = None if models.online is None else models.online[index]
    return parts


def part_at(part: Part | None, index: Any) -> Part | None:
    """Return a part of models, each of its arrays indexed."""
    return None if part is None else type(part)(*[getattr(part, array.name)[index] for array in fields(part)])


def window_seasons(seasons: Iterable[int]) -> list[int]:
    """Return the seasons that a window may hold; a longer one has a profile."""
    return [season for season in seasons if season <= MAX_SEASON]


def network_seasons(seasons: tuple[int, ...], count: int) -> NDArray[np.int64]:
    """Return the seasons that a network with so many seasonal inputs reads, `(count,)`: shorter first, 0 for none."""
    chosen = sorted(window_seasons(seasons[:MOST_SEASONS]))[:count] if count else []
    return np.array([*chosen, *[0] * (count - len(chosen))], np.int64)
