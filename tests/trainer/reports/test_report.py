"""A report shows the model's results and nothing else, and opens without a network."""

import re
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from tests.harness.models import make_model
from tests.trainer.reports.harness import (
    ROWS,
    SERIES,
    SIGNATURE,
    SPEC,
    START,
    STEP_MS,
    TAIL,
    folder_bytes,
    make_history,
    make_version,
    one_sheet_bytes,
    reviewed,
    sheets,
    write_csv,
)
from tidecast.errors import HistoryError, StoreError
from tidecast.files.history import History
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings
from trainer.data.source import Source
from trainer.reports import canvas, figures, html_page
from trainer.reports.canvas import SHEETS, Sheet
from trainer.reports.html_page import picture, picture_path
from trainer.reports.report import moment, report, run, weight_rows
from trainer.reports.review import review
from trainer.reports.target import Request, load_target, requested_history

PICTURES = ("coverage", "forecasts", "learning", "residuals", "steps", "weights")


def write_report(folder: Path) -> Path:
    """Write a report with the errors of three steps in an empty folder; return its page."""
    settings = load_settings(store=folder / "models", series={"horizon": 3})
    ModelStore(settings.store).publish(make_version())
    file = write_csv(folder / "history.csv", make_history())
    return run(Request(SERIES, Source((str(file),))), settings, folder / "out")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One report, for the tests that only read it."""
    with sheets("dark-narrow"):
        return write_report(tmp_path_factory.mktemp("report"))


def test_the_same_version_gives_the_same_report_again(written: Path, tmp_path: Path) -> None:
    """A report draws no random number, so it has no seed."""
    with sheets():
        again = write_report(tmp_path).parent
    assert one_sheet_bytes(written.parent) == folder_bytes(again)


def test_a_page_needs_nothing_but_itself(written: Path) -> None:
    """No script, no link, no address: every picture is inside, and the page forbids the browser to fetch more."""
    html = written.read_text()
    assert [] == re.findall(r"<script|<link|<iframe|https?:|url\(|@import| on\w+=", html)
    sources = re.findall(r'(?:src|srcset)="([^"]{22})', html)
    assert {"data:image/png;base64,"} == set(sources)
    assert 2 * len(PICTURES) == len(sources)
    assert "default-src 'none'" in html


def test_a_layout_found_for_one_theme_suits_the_other_to_the_pixel() -> None:
    """Also that of a colour bar and of a legend below the axes."""

    def draw(sheet: Sheet) -> Figure:
        drawing = sheet.figure(2)
        axis = drawing.subplots()
        drawing.colorbar(axis.imshow([[1, 2000]]), ax=axis)
        axis.plot([0, 1], label="a line")
        canvas.legend(drawing, sheet)
        return drawing

    drawn = picture("any", "any", draw)
    assert {name: canvas.png(draw(sheet)) for name, sheet in SHEETS.items()} == drawn.files
    assert len(SHEETS) == html_page.figure(drawn).count("data:image/png;base64,")


def test_names_and_verdicts_are_text_not_markup(written: Path) -> None:
    """A series name, verdict or table cell that looks like HTML is shown, not run."""
    html = written.read_text()
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; $co/" in html
    assert "published &lt;b&gt;because&lt;/b&gt;" in html
    assert "&lt;i&gt;keras 3" in html


def test_files_are_named_by_the_digest_of_the_series(written: Path) -> None:
    """A series name never becomes part of a path."""
    digest = sha256(SERIES.encode()).hexdigest()[:12]
    names = {f"{digest}-v1.html", *(f"{digest}-v1-{name}.png" for name in PICTURES)}
    assert names == {file.name for file in written.parent.iterdir()}


def test_pictures_lie_beside_the_page(written: Path) -> None:
    """Each is a PNG of the common width."""
    for name in PICTURES:
        data = picture_path(written, name).read_bytes()
        assert data.startswith(SIGNATURE)
        assert int(Sheet().width * canvas.DPI) == int.from_bytes(data[16:20], "big")


def test_the_page_states_the_figures_of_the_review(written: Path) -> None:
    """The headline's skill and error are the gate's, on readings that it held back; newer readings have a sentence."""
    html = written.read_text()
    result = reviewed(make_version(), make_history())
    low = result.next_answer - 0.9
    high = result.next_answer + 0.9
    assert f"{result.next_answer:.5g} ({low:.5g} to {high:.5g})" in html
    assert f"<dt>Skill over the last value, on {TAIL} readings held back from training</dt><dd>0.500</dd>" in html
    assert f"<dt>Mean absolute error, on {TAIL} readings held back from training</dt><dd>0.5</dd>" in html
    assert f"newer readings</dt><dd>{np.count_nonzero(result.inside)} of {TAIL}</dd>" in html
    assert f"On them the skill is {result.skill:.3f} and the mean absolute error {result.mae:.4g}." in html


def test_the_page_keeps_the_evidence(written: Path) -> None:
    """It has every contestant's scores, and the parts of the version."""
    html = written.read_text()
    assert "<td>model</td><td>0.5</td><td>0.7</td><td>0.800</td><td>0.500</td>" in html
    assert "<td>last value</td><td>1</td><td>1.2</td><td></td><td>0.000</td>" in html
    assert "<td>trained on</td><td>2024-01-01 to 2024-01-01 00:59 UTC</td>" in html
    assert "25 readings" in html


def test_several_steps_have_their_errors_and_the_next_forecasts(written: Path) -> None:
    """From the worker's code: as many as `series.horizon`."""
    settings = load_settings(store=written.parent.with_name("models"), series={"horizon": 3})
    steps = review(load_target(SERIES, make_history(), ModelStore(settings.store), None), settings).steps
    assert steps is not None
    assert [(1, TAIL), (2, TAIL - 1), (3, TAIL - 2)] == [(score.step, score.readings) for score in steps.scores]
    assert [START + (ROWS + k) * STEP_MS for k in range(3)] == [step.ts for step in steps.ahead]
    html = written.read_text()
    assert "".join(f"<td>{cell}</td>" for cell in steps.scores[2].cells()) in html
    assert "at the first step they differ from those above" in html
    assert picture_path(written, "steps").read_bytes().startswith(SIGNATURE)


def test_a_page_says_what_is_not_there(store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without unseen readings, learning curves or a network, the page notes it."""
    monkeypatch.setattr(canvas, "png", lambda _: SIGNATURE)  # the text matters alone
    bare = make_version(trained=ROWS, curves={}, network=False)
    store.publish(Model(bare.header, {}, bare.panel))
    html = report(SERIES, make_history(), load_settings(), store, tmp_path).read_text()
    assert "The model has learned from the readings shown below" in html
    assert "readings learned from</dt>" in html
    assert "On them the skill" not in html
    assert "keeps no learning curves" in html
    assert "<td>network</td><td>none</td>" in html


def test_the_weights_are_listed_from_the_largest() -> None:
    """Experts with a weight are listed, with their mean weight and their weight in the next forecast."""
    result = reviewed(make_version(), make_history())
    assert [("lstm", "100.0 %", "100.0 %", "100.0 %")] == weight_rows(result)


def test_columns_are_put_in_the_models_order(store: ModelStore) -> None:
    """A history with more columns, in another order, gives the same review."""
    model = make_version(Spec(window=6, units=5, target="a", features=("a", "b")))
    history = make_history(features=("b", "c", "a"))
    chosen = History(SERIES, ("a", "b"), history.ts, history.values[:, [2, 0]])
    store.publish(model)
    result = review(load_target(SERIES, history, store, None), load_settings())
    np.testing.assert_array_equal(reviewed(model, chosen).answer, result.answer)


def test_what_is_missing_is_named_with_the_remedy(store: ModelStore, tmp_path: Path) -> None:
    """An unknown series, version or feature, and a history that is too short, are sentences."""
    settings = load_settings()
    with pytest.raises(StoreError, match="has no champion"):
        report(SERIES, make_history(), settings, store, tmp_path)
    store.publish(make_version(Spec(window=6, units=5, target="a", features=("a", "b"))))
    with pytest.raises(StoreError, match="no version 7"):
        report(SERIES, make_history(), settings, store, tmp_path, version=7)
    with pytest.raises(HistoryError, match=r"has no 'b'.*--features"):
        report(SERIES, make_history(features=("a",)), settings, store, tmp_path)
    with pytest.raises(HistoryError, match=r"1 reading, and a report needs 2: bring a longer history"):
        report(SERIES, make_history(1, features=("a", "b")), settings, store, tmp_path)


def test_the_models_own_columns_are_read_unless_others_are_named(store: ModelStore, tmp_path: Path) -> None:
    """A model trained with a target and features needs no repetition of their names."""
    store.publish(make_version(Spec(window=6, units=5, target="load", features=("load", "wind"))))
    history = make_history(features=("wind", "load"))
    source = Source((str(write_csv(tmp_path / "history.csv", history)),))
    requested = requested_history(Request(SERIES, source), load_settings(), store)
    assert ("load", "wind") == requested.features
    np.testing.assert_array_equal(history.values[:, ::-1], requested.values)
    other = Request(SERIES, replace(source, target="wind", features=("other",)))
    assert ("wind", "other") == requested_history(other, load_settings(), store).features


def test_a_series_that_no_file_holds_is_an_error_that_lists_those_it_holds(store: ModelStore, tmp_path: Path) -> None:
    """A wrong name or file is the likely mistake; for a series that could not be read, the message gives the reason."""
    store.publish(make_model("elsewhere", SPEC))
    file = write_csv(tmp_path / "history.csv", make_history())
    with pytest.raises(HistoryError, match=r"no file holds series 'elsewhere'; found: .*script"):
        requested_history(Request("elsewhere", Source((str(file),))), load_settings(), store)
    file.write_text("series,ts,value\nelsewhere,2024-01-01,x\nother,2024-01-01,1\n")
    with pytest.raises(HistoryError, match=r"series 'elsewhere': .*'x'"):
        requested_history(Request("elsewhere", Source((str(file),))), load_settings(), store)


def test_an_older_version_can_be_asked_for(store: ModelStore) -> None:
    """By default the champion is shown."""
    for half_width in (0.5, 0.7):
        store.publish(make_version(half_width=half_width))
    widths = [load_target(SERIES, make_history(), store, number).model.header.half_width for number in (1, None)]
    assert [0.5, 0.7] == widths


def test_the_best_epoch_is_marked() -> None:
    """It has the least validation loss, unless the training sets another; a warm start that was never improved has
    none.
    """
    header = make_version().header
    assert 2 == figures.best_epoch(header)
    assert 3 == figures.best_epoch(header.model_copy(update={"training": {"best_epoch": 3}}))
    assert _labels(figures.learning(header, Sheet())) == ["training", "validation", "kept: epoch 2"]
    warm = header.model_copy(update={"training": {"best_epoch": 0}})
    assert _labels(figures.learning(warm, Sheet())) == ["training", "validation"]


def test_the_forecasts_picture_shows_the_numbers() -> None:
    """The lines are the readings and the forecasts, and the last point is the next value."""
    result = reviewed(make_version(), make_history())
    (axis,) = figures.forecasts(result, "value", Sheet()).axes
    reading, forecast, following, *_ = axis.get_lines()
    np.testing.assert_allclose(reading.get_ydata(), result.actual)
    np.testing.assert_allclose(forecast.get_ydata(), result.answer)
    np.testing.assert_allclose(np.ravel(following.get_ydata()).astype(float), [result.next_answer])


@pytest.mark.parametrize(
    "changes",
    [
        {"half_width": 0.0},
        {"ts": np.array([5]), "actual": np.array([2.0]), "answer": np.array([2.0]), "last": np.array([2.0])},
        {"actual": np.full(TAIL, 1e30), "answer": np.full(TAIL, -1e30), "half_width": 1e29},
    ],
    ids=["no width", "one reading", "huge"],
)
def test_any_review_can_be_drawn(changes: dict[str, object]) -> None:
    """Degenerate figures are drawn without a warning, which here is an error; names are never formulas."""
    result = replace(reviewed(make_version(), make_history()), **changes)
    for figure in (
        figures.forecasts(result, "$\\frac{$", SHEETS["dark"]),
        figures.residuals(result, "气温", SHEETS["light-narrow"]),
        figures.coverage(result, SHEETS["light"]),
    ):
        assert canvas.png(figure).startswith(SIGNATURE)


def test_the_same_figure_gives_the_same_bytes_and_another_sheet_others() -> None:
    """A report made twice is the same file, and dark is not light."""
    header = make_version().header
    drawn = [canvas.png(figures.learning(header, sheet)) for sheet in (Sheet(), Sheet(), *SHEETS.values())]
    assert drawn[0] == drawn[1] == drawn[2]
    assert len(SHEETS) == len(set(drawn))


def test_times_are_written_without_zeros() -> None:
    """Of a day, its time and its seconds."""
    assert ["1970-01-01", "1970-01-01 00:01 UTC", "1970-01-01 00:00:01 UTC"] == [moment(t) for t in (0, 60_000, 1000)]


def _labels(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]
