"""What several test files share."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.cli_runs import Server, finished_run
from torture.nursery import Nursery

# How long an example takes says something about the machine, not about the code.
settings.register_profile("no deadlines", deadline=None)
settings.load_profile("no deadlines")

REAL_DATA_VARIABLE = "KVASIR_PRUNE_TEST_DATA"


LONG = (
    "jax_backend",
    "sweep",
    "faults",
    "exact_scorer",
    "torture",
    "benchmarks",
    "interrupted_run",
    "training",
    "true_size",
    "plan",
    "sweep_forecast",
    "sweep_sharing",
)
"""Test files that take longest, in that order."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no worker is left alone with one of them at the end."""
    places = {f"test_{name}": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


@pytest.fixture(scope="module", autouse=True)
def _old_objects_are_left_alone() -> None:
    """Leave what earlier files have imported and made out of garbage collections.

    statsmodels asks for a whole one at every correction for many tests, and with TensorFlow loaded
    one goes through millions of objects.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a finished run, to be copied; made once for all workers."""
    return finished_run(tmp_path_factory)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """Give a process that runs commands; where they compute, with one thread."""
    with Server() as started:
        yield started


@pytest.fixture(scope="session")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Give what starts commands as processes that need not load Keras first."""
    with Nursery(tmp_path_factory.mktemp("logs")) as started:
        yield started


@pytest.fixture
def steps_of_a_processor() -> Iterator[None]:
    """Let the exact scorer's steps on a GPU be as small as on a processor."""
    from kvasir_prune.importance import sizes

    # One of its own: tests undo what they did to memory with the common one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "GPU", sizes.PROCESSOR)
        yield


@pytest.fixture(scope="session")
def real_data() -> Callable[[str], Path]:
    """Find a file of a real data set; skip the test, by name, where it is not there."""

    def find(name: str) -> Path:
        folder = os.environ.get(REAL_DATA_VARIABLE)
        if not folder or not Path(folder, name).exists():
            pytest.skip(f"{REAL_DATA_VARIABLE} has no {name}")
        return Path(folder, name)

    return find


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded: figures that a reader of the log wants to see."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")
