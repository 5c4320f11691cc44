"""Properties of the repository as a whole: it builds anywhere, its links work, its versions agree."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import tidecast

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The one-letter classes keep the patterns from matching this file.
REGISTRIES = re.compile(
    r"\b(pyp[i]|pyp[i]\.python|pythonhoste[d]|npmj[s]|debia[n]|golan[g]|anacond[a])\.(org|com)\b"
    r"|\b(docke[r]|qua[y]|ghc[r]|crate[s])\.io\b|--(extra-)?index-ur[l]|--find-link[s]|--trusted-hos[t]"
)
OWN_PLACES = re.compile(r"(?<![\w.~/-])/(hom[e]|roo[t]|User[s]|wor[k])/\w")
# Programs that a test holds as text count too, so this looks at lines, not at the syntax tree.
TEST_MODULE_IMPORT = re.compile(
    r"^\s*(?:(?:from|import)\s+[\w.]*\btest_\w+|from\s+[\w.]+\s+import\s+(?:\([^)]*|[^(#\n]*)\btest_\w+)", re.MULTILINE
)
# An ignored rule without a reason after it.
UNEXPLAINED = re.compile(r"#\s*(?:noq[a]\b(?!: [A-Z0-9, ]+ - )|type: ignor[e]\b(?!\[[a-z, -]+\] +# )).*")
LINK = re.compile(r"""!?\[[^\]]*\]\(<?([^)\s>]+)>?[^)]*\)|(?:src|href)="([^"]+)"|^\[[^\]]+\]:\s*(\S+)""", re.MULTILINE)


def test_no_tracked_file_names_a_package_registry_or_a_place_on_someones_machine() -> None:
    """The repository installs from whatever registry the machine is set up for, in whatever directory."""
    offences = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in _tracked()
        for pattern in (REGISTRIES, OWN_PLACES)
        for match in pattern.finditer(path.read_bytes().decode("utf-8", errors="ignore"))
    ]
    assert offences == []


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("https://pyp" + "i.org/simple", REGISTRIES),
        ("deb.debia" + "n.org", REGISTRIES),
        ("pip install --index-ur" + "l there", REGISTRIES),
        ("see /hom" + "e/ann/tidecast", OWN_PLACES),
        ('cwd="/wor' + 'k/main"', OWN_PLACES),
    ],
)
def test_a_registry_or_a_place_would_be_found(text: str, pattern: re.Pattern[str]) -> None:
    """The patterns match such names."""
    assert pattern.search(text)


def test_every_ignored_rule_has_its_reason() -> None:
    """Nobody can judge an exception without one; it also names the rule."""
    offences = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in _tracked()
        if path.suffix == ".py"
        for match in UNEXPLAINED.finditer(path.read_text())
    ]
    assert offences == []


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("x = 1  # noq" + "a", True),
        ("x = 1  # noq" + "a: S101", True),
        ("x = 1  # noq" + "a: S101, S105 - it is a test", False),
        ("x = 1  # type: ignor" + "e", True),
        ("x = 1  # type: ignor" + "e[misc]", True),
        ("x = 1  # type: ignor" + "e[misc, arg-type] # the stub lacks it", False),
    ],
)
def test_an_ignored_rule_without_a_reason_would_be_found(text: str, matches: bool) -> None:
    """Match both kinds of comments, with and without the names of rules."""
    assert matches == bool(UNEXPLAINED.search(text))


def test_no_two_public_classes_have_the_same_name() -> None:
    """A name has one meaning, so that a search for it finds one class."""
    places: dict[str, list[str]] = {}
    for path in _tracked():
        place = path.relative_to(ROOT)
        if path.suffix == ".py" and place.parts[0] in ("tidecast", "worker", "trainer", "dashboard"):
            for name in re.findall(r"^class ([A-Z]\w*)", path.read_text(), re.MULTILINE):
                places.setdefault(name, []).append(place.as_posix())
    assert {} == {name: files for name, files in places.items() if len(files) > 1}


def test_no_module_imports_from_a_test_module() -> None:
    """Keep shared helpers in harness.py: a test module must be free to change without breaking another."""
    offences = [
        f"{path.relative_to(ROOT)}: {' '.join(match[0].split())}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for match in TEST_MODULE_IMPORT.finditer(path.read_text())
    ]
    assert offences == []


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("from tests.worker.test_loop import add", True),
        ("    from tests.worker.test_loop import add", True),
        ("import tests.worker.test_loop", True),
        ("from .test_loop import add", True),
        ("from tests.worker import runs, test_loop", True),
        ("from tests.worker import (\n    runs,\n    test_loop,\n)", True),
        ("from tests.worker.harness import add", False),
        ("from tidecast.online.shadow_test import FINAL", False),
        ("from tidecast.tools import backtest_report  # test_loop", False),
    ],
)
def test_an_import_from_a_test_module_would_be_found(text: str, matches: bool) -> None:
    """Match every form of such an import, and no import of another module."""
    assert matches == bool(TEST_MODULE_IMPORT.search(text))


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in sorted(ROOT.glob("*.md"))] + ["docs"])
def test_every_relative_link_resolves(page: str) -> None:
    """A link of a page, or of the pages below docs, leads to a file, and to a heading of it if it names one."""
    pages = [ROOT / page] if page.endswith(".md") else sorted((ROOT / page).rglob("*.md"))
    assert [broken for each in pages for broken in _broken_links(each)] == []


def test_broken_links_would_be_found(tmp_path: Path) -> None:
    """A missing file, a missing picture and a missing heading are each reported; links out and code are not."""
    page = tmp_path / "page.md"
    page.write_text(
        "# One `thing`: two\n[a](gone.md) ![b](gone.png) [c](#nowhere) [d](#one-thing-two) [e](page.md#one-thing-two)\n"
        '<img src="gone.svg">\n[f](https://example.org/x)\n```\n[g](code.md)\n```\n'
    )
    assert len(_broken_links(page)) == 4


def test_every_decision_has_its_number_and_its_parts() -> None:
    """The records are numbered without a gap, and each has its reason and its price."""
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))
    assert [f"{number:04}" for number in range(1, len(records) + 1)] == [record.name[:4] for record in records]
    for record in records:
        assert {"Status", "Context", "Decision", "Consequences"} <= set(re.findall(r"\w+", record.read_text()))


def test_the_version_is_the_same_everywhere() -> None:
    """The package's version is the one that it is built with."""
    assert PROJECT["version"] == tidecast.__version__


def test_the_constraints_are_exact_versions_and_nothing_else() -> None:
    """A range would make two installs differ, and a URL would tie the install to a host."""
    lines = [line for line in _constraints() if not re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.+!]*", line)]
    assert lines == []


def test_no_package_is_constrained_twice() -> None:
    """The second line would win or conflict, depending on the installer."""
    names = [canonicalize_name(line.split("==")[0]) for line in _constraints()]
    assert len(names) == len(set(names))


def test_the_constraints_pin_every_direct_dependency_within_its_range() -> None:
    """The versions tested together are those that a user gets, and pyproject.toml allows them."""
    pins = {canonicalize_name(name): Version(version) for name, version in (pin.split("==") for pin in _constraints())}
    extras = PROJECT["optional-dependencies"].values()
    for line in [*PROJECT["dependencies"], *(line for extra in extras for line in extra)]:
        needed = Requirement(line)
        if needed.name != PROJECT["name"]:
            assert pins[canonicalize_name(needed.name)] in needed.specifier, line


def test_ci_begins_with_what_a_newcomer_types() -> None:
    """In a fresh clone no code is compiled yet: a failure there affects everybody who tries it."""
    lines = [line for line in (ROOT / ".ci" / "run").read_text().splitlines() if line.startswith("make ")]
    assert ["make demo ARGS=--json", "make lint type test docs"] == lines


@pytest.mark.parametrize("target", ["$(INSTALLED): pyproject.toml", "demo: $(INSTALLED)", "warm: $(INSTALLED)"])
def test_make_adds_nothing_to_the_standard_output_of_the_demo(target: str) -> None:
    """A program reads one object there, on the first run too, which installs."""
    _, _, rest = (ROOT / "Makefile").read_text().partition(f"\n{target}")
    recipe = [line for line in rest.partition("\n\n")[0].splitlines()[1:] if line.startswith("\t")]
    assert recipe
    assert [] == [line for line in recipe if not line.startswith(("\t@", "\t  "))]


def _tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607 - the git of whoever cloned it
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def _constraints() -> list[str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _broken_links(page: Path) -> list[str]:
    """Return the links of a page that lead nowhere in the repository."""
    links = ("".join(match) for match in LINK.findall(_prose(page)))
    return [link for link in links if not re.match(r"[a-z]+:", link) and not _resolves(page, link)]


def _resolves(page: Path, link: str) -> bool:
    file, _, heading = link.partition("#")
    target = page.parent / file if file else page
    return target.exists() and (not heading or heading in _headings(target))


def _headings(page: Path) -> set[str]:
    """Return the anchors of a page's headings: lower case, punctuation dropped, spaces as hyphens."""
    titles = re.findall(r"^#+ +(.+?)\s*$", _prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def _prose(page: Path) -> str:
    return re.sub(r"^(```|~~~).*?^\1", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
