"""The pretrained network: one small LSTM for every series, trained on synthetic series alone and shipped as a file.

It forecasts the next value from the rows that a series has, at least `LEAST_ROWS`, with or without known seasons. The
answer is a change relative to the newest value, in units of the window's usual change. This module reads the file and
computes the answer in NumPy. `trainer/pretrain` made the file.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save

from tidecast.arrays import Float, Float32, Int64
from tidecast.errors import ModelError
from tidecast.models import lstm
from tidecast.models.pretrained.inputs import UNCHANGED, inputs
from tidecast.models.pretrained.shape import LEAST_ROWS, SEASONS, WINDOW
from tidecast.models.spec import Spec

# Of the file, its inputs and its scale. Other inputs need another `FORMAT` of models too: cohorts' networks read them.
VERSION = 2
FILE = "weights.safetensors"
HEADER = "tidecast_pretrained"


class PretrainedHeader(BaseModel):
    """The origin of the weights."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    version: int
    recipe: dict[str, int | float | str]  # everything that the training depends on, the seed included
    scores: dict[str, float]  # skill over the last value on synthetic series that were not trained on


class Pretrained(NamedTuple):
    """The weights by the names of `Spec.shapes`, and their origin."""

    header: PretrainedHeader
    weights: Mapping[str, Float32]


def spec_of(weights: Mapping[str, Float32], target: str) -> Spec:
    """Return the spec of a network with the shapes of these weights, for this target."""
    units = weights["lstm.0.forward.recurrent"].shape[0]
    hidden = len(weights["hidden.bias"])
    return Spec(target=target, window=WINDOW, units=units, hidden=hidden, seasonal=SEASONS, pretrained=True)


@cache
def shipped() -> Pretrained:
    """Read the network of the package once.

    Raises:
        ModelError: the file is damaged or of another version.
    """
    return decode(files("tidecast.models.pretrained").joinpath(FILE).read_bytes())


def encode(network: Pretrained) -> bytes:
    """Encode a network to the bytes of its file."""
    weights = {name: np.ascontiguousarray(part, np.float32) for name, part in network.weights.items()}
    return save(weights, metadata={HEADER: network.header.model_dump_json()})


def decode(content: bytes) -> Pretrained:
    """Decode the bytes of a file.

    Raises:
        ModelError: the file is damaged or of another version.
    """
    try:
        parts = dict(deserialize(content))
        metadata = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]
        version = json.loads(metadata[HEADER])["version"]
        if version != VERSION:
            raise ModelError(f"pretrained network of version {version}, this program reads {VERSION}: reinstall it")
        header = PretrainedHeader.model_validate_json(metadata[HEADER])
        weights = {name: _array(part) for name, part in parts.items()}
    except (SafetensorError, ValidationError, KeyError, TypeError, ValueError) as exc:
        raise ModelError(f"{FILE} is damaged ({exc}): install Tidecast again") from exc
    return Pretrained(header, weights)


def forecast(network: Pretrained, values: Float, ends: Int64, held: Int64, seasons: Int64) -> Float:
    """Forecast the next value of each window; NaN for fewer than `LEAST_ROWS` rows. The arguments are as for `inputs`.

    Returns:
        `(n,)` in the series' unit.
    """
    prepared = inputs(values, ends, held, seasons)
    answer = lstm.forward(prepared.x, network.weights, "tanh")[:, 0]
    result = np.where(prepared.size > UNCHANGED, prepared.restore(answer), prepared.base)
    return np.where(held >= LEAST_ROWS, result, np.nan)


def _array(part: Mapping[str, Any]) -> Float32:
    if part["dtype"] != "F32":
        raise ValueError(f"weights of type {part['dtype']}")
    return np.frombuffer(part["data"], np.float32).reshape(part["shape"])
