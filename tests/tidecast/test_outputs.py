"""Places for results: a wrong one is found before the work, whose results would be lost."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tidecast.errors import SettingsError
from tidecast.outputs import check_file, check_folder, table_of


@pytest.mark.parametrize("path", ["out", "out/deep/er", "there", "there/new", "a b", "ü"])
def test_a_folder_that_is_there_or_can_be_made_is_taken_and_nothing_is_made(tmp_path: Path, path: str) -> None:
    """A run that fails for another reason leaves nothing behind."""
    (tmp_path / "there").mkdir()
    check_folder("--out", tmp_path / path)
    check_file("--out", tmp_path / path / "file.csv")
    assert ["there"] == [each.name for each in tmp_path.rglob("*")]


def test_a_file_that_is_there_is_written_anew(tmp_path: Path) -> None:
    """As the commands do."""
    (tmp_path / "out.csv").write_text("old")
    check_file("--out", tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("file", "--out is {path}, but {root}/file is a file: name another place"),
        ("file/deep/er", "--out is {path}, but {root}/file is a file: name another place"),
        (300 * "x", "{path} cannot be used (File name too long): name another place"),
        ("a\0b", "a\\x00b' is not a path: name another place"),
    ],
)
def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path, path: str, sentence: str) -> None:
    """It names the option, the value and the obstacle."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError) as caught:
        check_folder("--out", tmp_path / path)
    assert sentence.format(path=tmp_path / path, root=tmp_path) in str(caught.value)
    with pytest.raises(SettingsError):
        check_file("--out", tmp_path / path / "out.csv")


def test_a_folder_is_not_taken_for_a_file(tmp_path: Path) -> None:
    """The message requests a file."""
    with pytest.raises(SettingsError, match="which is a directory: name a file"):
        check_file("--out", tmp_path)


def test_a_place_that_may_not_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a volume that is mounted to be read: root may write everywhere else."""
    (tmp_path / "out.csv").write_text("old")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(SettingsError, match=r"out\.csv, which cannot be written: name another file"):
        check_file("--out", tmp_path / "out.csv")
    with pytest.raises(SettingsError, match="cannot be written: name another place"):
        check_folder("--out", tmp_path / "new")


def test_a_table_fits_eighty_characters_and_cuts_no_number() -> None:
    """Names take several lines; half of a number would be another number."""
    numbers = [f"1234567{number}" for number in range(7)]
    table = table_of("series", *numbers, texts=("series",))
    table.add_row("building-3/floor-12/boiler-7", *numbers)
    console = Console(width=80, record=True, file=StringIO())
    console.print(table)
    text = console.export_text()
    assert all(len(line) <= 80 for line in text.splitlines())
    assert all(2 == text.count(number) for number in numbers)
    assert "building" in text


@pytest.mark.parametrize("name", ["pump[west]", "[bold]x[/bold]", "a[/]", ":smile:"])
def test_a_table_shows_a_name_as_it_is(name: str) -> None:
    """Rich would leave out what it takes for a style, or end with an error: the operator would copy a wrong name."""
    table = table_of("series", texts=("series",))
    table.add_row(name)
    console = Console(file=StringIO(), width=80)
    console.print(table)
    assert name in str(console.file.getvalue())  # type: ignore[attr-defined] # the StringIO above
