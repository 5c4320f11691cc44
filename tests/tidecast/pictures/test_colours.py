"""The colours of pictures and pages can be read, by colour-blind people too."""

from itertools import combinations

import pytest

from tests.tidecast.pictures.harness import SIGHTS, contrast, distance
from tidecast.models.experts import EXPERTS
from tidecast.pictures import colours
from tidecast.pictures.colours import DARK, LIGHT, Theme

TEXT, GRAPHICS = 4.5, 3.0  # the least contrasts that WCAG 2 asks for
APART = 0.065  # in Oklab: three times the distance that can just be noticed
DATA = (colours.READING, colours.FORECAST, colours.LAST_VALUE, colours.FORGET, colours.INPUT, colours.OUTPUT)

each_theme = pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])


@each_theme
def test_text_has_enough_contrast_on_every_background(theme: Theme) -> None:
    """Axes, legends and notes are text too."""
    for text in ("ink", "quiet", "blue", "red", "amber", "green"):
        for background in ("ground", "paper", "tint"):
            assert contrast(getattr(theme, text), getattr(theme, background)) >= TEXT, (text, background)


@each_theme
def test_lines_and_areas_have_enough_contrast_to_the_paper(theme: Theme) -> None:
    """So do neighbouring areas to the line of paper between them."""
    for colour in (*DATA, *theme.experts, theme.other):
        assert contrast(colour, theme.paper) >= GRAPHICS, colour


@pytest.mark.parametrize("sight", SIGHTS)
@each_theme
def test_experts_can_be_told_apart_without_seeing_all_colours(theme: Theme, sight: str) -> None:
    """Any two may be neighbours."""
    assert len(EXPERTS) == len(theme.experts)
    for one, other in combinations((*theme.experts, theme.other), 2):
        assert distance(one, other, sight) >= APART, (one, other)


@pytest.mark.parametrize("sight", SIGHTS)
def test_lines_of_one_chart_can_be_told_apart_without_seeing_all_colours(sight: str) -> None:
    """Readings with forecasts and the last value, and the gates with each other."""
    for chart in (DATA[:3], DATA[3:]):
        for one, other in combinations(chart, 2):
            assert distance(one, other, sight) >= APART / 2, (one, other)


def test_pages_get_every_colour_as_a_variable() -> None:
    """An expert's colour is named by its place."""
    variables = LIGHT.variables()
    assert f"--quiet: {LIGHT.quiet};" in variables
    assert f"--expert-9: {LIGHT.experts[9]};" in variables
    assert len(DARK.variables().split(";")) == len(variables.split(";"))
