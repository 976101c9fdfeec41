"""The house: lock file, conda environment, configurations and documents agree with each other."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from kvasir_prune.config.sweep import load_sweep

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text().splitlines()


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def test_lock_file_pins_names_and_versions_and_holds_no_address() -> None:
    lines = [line for line in LOCK if not line.startswith("#")]
    assert len(lines) > 50
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line), line


def test_lock_file_covers_every_dependency() -> None:
    locked = {name_of(line) for line in LOCK if "==" in line}
    wanted = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
    assert {name_of(requirement) for requirement in wanted} <= locked


def test_conda_environment_agrees_with_pyproject() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert [entry for entry in pip if not entry.startswith("-e")] == PROJECT["dependencies"]
    assert f"python{PROJECT['requires-python']}" in environment["dependencies"]


def test_version_stands_in_one_place_only_twice() -> None:
    import kvasir_prune

    assert kvasir_prune.__version__ == PROJECT["version"]


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "checkpoints/README.md"])
def test_links_in_documents_lead_somewhere(name: str) -> None:
    document = ROOT / name
    targets = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    for target in targets:
        assert (document.parent / target).exists(), target


def test_readme_names_every_configuration_and_make_target() -> None:
    readme = (ROOT / "README.md").read_text()
    for path in (ROOT / "configs").glob("*.yaml"):
        family = re.match(r"(mnist|fashion_mnist|cifar10)_(mlp|cnn)$", path.stem)
        assert family or path.name in readme, path.name
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", readme, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_configuration_is_a_page_of_the_notebook() -> None:
    for path in (ROOT / "configs").glob("*.yaml"):
        head = path.read_text().split("name:")[0]
        for word in ("# Purpose", "# Command", "# Source"):
            assert word in head, f"{path.name}: {word}"
        assert yaml.safe_load(path.read_text())["name"] == path.stem


def test_every_experiment_of_chapter_4_is_a_page_that_loads() -> None:
    pages = sorted((ROOT / "configs" / "chapter4").glob("*.yaml"))
    assert {page.name[:3] for page in pages} == {f"4_{section}" for section in range(1, 10)}
    for page in pages:
        head = page.read_text().split("name:")[0]
        for word in ("# Purpose", "# Command", "# Time", "# Source", "# Result"):
            assert word in head, f"{page.name}: {word}"
        sweep = load_sweep(page)
        assert sweep.config.name == page.stem
        assert f"kvasir-prune sweep configs/chapter4/{page.name}" in head


def test_no_module_is_long() -> None:
    long = {
        str(path.relative_to(ROOT)): count
        for room in ("kvasir_prune", "benchmarks", "torture", "chapter4")
        for path in (ROOT / room).rglob("*.py")
        if (count := len(path.read_text().splitlines())) > 300
    }
    assert not long


def test_nothing_outside_one_place_imports_a_backend() -> None:
    """As import-linter says, by an independent look at the text."""
    found = [
        path.parent.name
        for path in (ROOT / "kvasir_prune").rglob("*.py")
        if re.search(r"^\s*(import|from) (tensorflow|jax|torch)\b", path.read_text(), re.MULTILINE)
    ]
    assert {*found} == {"backend"}


def test_run_folders_are_not_tracked() -> None:
    done = subprocess.run(
        ["git", "ls-files", "checkpoints"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    assert done.stdout.split() == ["checkpoints/README.md"]
