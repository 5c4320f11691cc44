"""The colours of all pictures and pages, in a light and a dark theme.

Text has a contrast of at least 4.5:1 to its background, lines and areas one of at least 3:1. The colours of experts and
gates stay apart for colour-blind people too. `tests/tidecast/pictures/test_colours.py` computes all of this.
"""

from dataclasses import dataclass, fields

# Data have the same colours in both themes.
READING = "#2f80c8"
FORECAST = "#dd6433"
LAST_VALUE = "#848e9a"
FORGET = "#2f9a5c"
INPUT = "#9067c6"
OUTPUT = "#b07b12"
CANDIDATE = FORECAST


@dataclass(frozen=True, slots=True)
class Theme:
    """The colours that depend on the background: those of text, of frames, and of areas side by side.

    Attributes:
        ground: the background of a page.
        paper: the background of a card, a chart or a picture.
        tint: the background of an emphasised part.
        ink: text.
        quiet: text of axes, legends and notes.
        line: grids and frames.
        blue: links; also the state of something under way.
        red: errors.
        amber: warnings.
        green: success.
        experts: an area for each expert, in the order of `EXPERTS`. Naive experts are purple, smoothing is teal, linear
            experts are yellow to red, networks blue, and experts that learn online green. The median and the user's own
            have colours apart from all.
        other: the area of all experts with a small weight.
    """

    ground: str
    paper: str
    tint: str
    ink: str
    quiet: str
    line: str
    blue: str
    red: str
    amber: str
    green: str
    experts: tuple[str, ...]
    other: str

    def variables(self) -> str:
        """Return the colours as CSS variables, such as `--ink: #1c2530;`."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        named |= {f"expert-{i}": colour for i, colour in enumerate(named.pop("experts"))}
        return " ".join(f"--{name}: {colour};" for name, colour in named.items())


LIGHT = Theme(
    ground="#f4f6f8",
    paper="#ffffff",
    tint="#eaf1f8",
    ink="#1c2530",
    quiet="#56626f",
    line="#dfe5ea",
    blue="#1b66a8",
    red="#a83229",
    amber="#7d4f00",
    green="#19693b",
    experts=(
        *("#7c638c", "#c76ce3", "#671d9c"),
        "#035160",
        *("#e77140", "#852a0f", "#a7560e", "#551113", "#310039"),
        *("#5055d3", "#22255f", "#391cd3"),
        "#a061c1",
        *("#2d896d", "#53a46a", "#536063"),
        "#43263d",
        "#101010",
    ),
    other="#8a929b",
)
DARK = Theme(
    ground="#12171d",
    paper="#1b222b",
    tint="#22303d",
    ink="#e6ebf0",
    quiet="#a3b0bd",
    line="#2e3843",
    blue="#6db3ef",
    red="#f08c82",
    amber="#e7b25a",
    green="#6fcf97",
    experts=(
        *("#bb90a5", "#a145bb", "#c7c3fc"),
        "#a9f7e6",
        *("#e97e28", "#cb3904", "#efec5f", "#fab18b", "#eb0d92"),
        *("#6180fe", "#9ea0fa", "#3e5df0"),
        "#987ad3",
        *("#067e27", "#11b04d", "#c7ed9e"),
        "#1be2be",
        "#80d500",
    ),
    other="#6b7681",
)
