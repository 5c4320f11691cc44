"""The program behind `make pretrain`: train the network, score it, and write the file that ships with the package."""

import argparse
import sys
from importlib.resources import files
from pathlib import Path

from tidecast.durable import replace
from tidecast.models.pretrained.network import FILE, VERSION, Pretrained, PretrainedHeader, encode
from trainer.pretrain.recipe import Recipe
from trainer.pretrain.scores import scores
from trainer.pretrain.training import train


def main() -> None:
    """Train by the recipe, and write the file."""
    parser = argparse.ArgumentParser(prog="python -m trainer.pretrain", description=__doc__)
    place = files("tidecast.models.pretrained").joinpath(FILE)
    parser.add_argument("--out", type=Path, default=Path(str(place)), help="the file to write")
    parser.add_argument("--windows", type=int, help="fewer windows than in the recipe, for a trial")
    chosen = parser.parse_args()
    recipe = Recipe() if chosen.windows is None else Recipe(windows=chosen.windows)
    network = Pretrained(PretrainedHeader(version=VERSION, recipe=recipe.model_dump(), scores={}), train(recipe, _show))
    measured = scores(network, recipe.seed)
    header = network.header.model_copy(update={"scores": measured})
    replace(chosen.out, encode(Pretrained(header, network.weights)))
    for name, skill in measured.items():
        print(f"{name} {skill:.3f}")  # noqa: T201 - the answer


def _show(windows: int, loss: float) -> None:
    print(f"{windows} windows, loss {loss:.4f}", file=sys.stderr, flush=True)  # noqa: T201 - the progress


if __name__ == "__main__":
    main()
