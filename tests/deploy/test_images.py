"""The images, checked without a container engine."""

import re
import tomllib

import pytest

from tests.deploy.compose import COMPOSE
from tests.deploy.dockerfile import ROOT, copied, ignored, is_pinned, stages


def test_every_base_image_is_pinned_or_a_stage_above() -> None:
    """A build means the same line of images tomorrow."""
    above: list[str] = []
    for name, stage in stages().items():
        assert stage["FROM"][0] in above or is_pinned(stage["FROM"][0])
        above.append(name)


def test_every_target_of_the_compose_file_is_a_stage() -> None:
    """Compose names only stages that exist, from this directory."""
    builds = [service["build"] for service in COMPOSE["services"].values() if "build" in service]
    assert all(build["target"] in stages() and build["context"] == "." for build in builds)


def test_no_image_runs_as_root_when_started_without_compose() -> None:
    """The stages that are shipped end as another user, and the last one is among them."""
    all_stages = stages()
    shipped = {service["build"]["target"] for service in COMPOSE["services"].values() if "build" in service}
    assert list(all_stages)[-1] in shipped
    assert ["10001:10001"] * len(shipped) == [all_stages[name]["USER"][-1] for name in shipped]


def test_the_build_fetches_nothing_by_url() -> None:
    """All content of an image is in the repository or in constraints.txt."""
    assert all("ADD" not in stage for stage in stages().values())
    assert not re.search(r"https?://|\b(curl|wget)\b", (ROOT / "Dockerfile").read_text())


def test_every_file_copied_into_an_image_is_in_the_repository_and_in_the_build_context() -> None:
    """No COPY fails for a missing file, and .dockerignore hides none of them."""
    for source in copied():
        assert (ROOT / source).exists()
        assert not ignored(source)
    assert ignored(".git")
    assert ignored("tidecast/__pycache__")


def test_every_package_and_file_of_the_wheel_is_copied() -> None:
    """A new package that the build would miss fails here, not in a container."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {*project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"], project["project"]["readme"]}
    needed |= {*project["project"]["license-files"], "pyproject.toml", "constraints.txt"}
    assert needed == copied()


def test_only_the_trainer_installs_the_extra_with_tensorflow() -> None:
    """The worker's image holds the wheel and the library of buckets; both keep to the tested versions."""
    install = {name: " ".join(stages()[f"{name}-environment"]["RUN"]) for name in ("worker", "trainer")}
    assert "[bucket,distributed]" in install["trainer"]
    assert "[bucket]" in install["worker"]
    assert all("-c constraints.txt" in line for line in install.values())


@pytest.mark.parametrize("image", ["worker", "trainer"])
def test_the_images_hold_compiled_code(image: str) -> None:
    """No container compiles when it starts: by then the installed worker has, not the copy that it was built from."""
    *_, install, compiling = stages()[f"{image}-environment"]["RUN"]
    assert "pip install" in install
    assert compiling == 'python -P -c "from worker.compiling import warm; warm()"'
    assert f"--from={image}-environment /opt/tidecast /opt/tidecast" in stages()[image]["COPY"]


def test_code_for_another_processor_is_kept_on_a_volume() -> None:
    """A machine of another kind compiles once, not at every start: the worker's user can write there, and it stays."""
    variables = dict(pair.split("=") for line in stages()["worker"]["ENV"] for pair in line.split())
    place = f"{variables['XDG_CACHE_HOME']}/tidecast"
    assert any(line.endswith(f"install --directory --owner=10001 --group=10001 /store {place}") for line in made())
    assert f"cache:{place}" in COMPOSE["services"]["worker"]["volumes"]


def made() -> list[str]:
    """Return the commands that build the base of all images."""
    return [line.strip() for line in stages()["base"]["RUN"]]
