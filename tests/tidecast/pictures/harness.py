"""Measures of colours as people see them, written as `#rrggbb`."""

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]

# Linear RGB as seen without red, green or blue receptors (Machado, Oliveira & Fernandes 2009), and with all.
SIGHTS = {
    "common": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
# Linear RGB to the responses of receptors, and their cube roots to Oklab (Ottosson 2020).
RECEPTORS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2, from 1 to 21."""
    dark, light = sorted(float(_linear(colour) @ [0.2126, 0.7152, 0.0722]) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def distance(one: str, other: str, sight: str) -> float:
    """Return the distance of two colours in Oklab for a kind of sight; about 0.02 can just be noticed."""
    first, second = (_oklab(SIGHTS[sight] @ _linear(colour)) for colour in (one, other))
    return float(np.linalg.norm(first - second))


def _linear(colour: str) -> Vector:
    coded = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear: Vector = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    return linear


def _oklab(linear: Vector) -> Vector:
    oklab: Vector = OKLAB @ np.cbrt(RECEPTORS @ np.clip(linear, 0, 1))
    return oklab
