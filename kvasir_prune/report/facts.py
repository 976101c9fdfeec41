"""The report's other tables: evolution, training, cost, choice of nodes, provenance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby

from kvasir_prune.evaluation.latency import Latency
from kvasir_prune.progress import duration
from kvasir_prune.report import captions, notation
from kvasir_prune.report.run_times import ENDS
from kvasir_prune.report.schema import EvolutionPoint, Measured, Record
from kvasir_prune.report.tables import Column, Row, Table, columns, pairs
from kvasir_prune.types import SPLITS

_TEST_FIRST = tuple(reversed(SPLITS))


def evolution(record: Record) -> Table:
    """Return loss and accuracy before pruning and as each layer was finished."""
    return Table(
        "evolution",
        captions.of_table("evolution"),
        evolution_columns("Layer finished"),
        tuple(_evolution_row(point) for point in layer_ends(record.results.evolution)),
    )


def evolution_columns(first: str) -> tuple[Column, ...]:
    """Return the columns of an evolution, the first of them headed `first`."""
    names = [notation.split_name(name) for name in _TEST_FIRST]
    return (
        *columns(first, "Removed"),
        *columns("", *names, group="Loss")[1:],
        *columns("", *names, group="Accuracy")[1:],
    )


def layer_ends(evolution: Iterable[EvolutionPoint]) -> list[EvolutionPoint]:
    """Return the last point of each layer, in the order of pruning."""
    return [list(points)[-1] for _, points in groupby(evolution, key=lambda point: point.layer)]


def _evolution_row(point: EvolutionPoint) -> Row:
    measured: list[Measured] = [getattr(point, name) for name in _TEST_FIRST]
    return (
        "(before pruning)" if point.layer is None else notation.printable(point.layer),
        notation.count(point.removed),
        *(notation.loss(quantity.loss) for quantity in measured),
        *(notation.percent(quantity.accuracy) for quantity in measured),
    )


def training(record: Record) -> Table:
    """Return the training history, one row for each epoch; the best one says so."""
    best = record.results.training.best_epoch
    return Table(
        "training",
        captions.of_table("training"),
        (
            *columns("Epoch"),
            *columns("", "training", "validation", group="Loss")[1:],
            *columns("", "training", "validation", group="Accuracy")[1:],
        ),
        tuple(
            (
                f"{epoch.epoch} (kept)" if epoch.epoch == best else str(epoch.epoch),
                notation.loss(epoch.train_loss),
                notation.loss(epoch.validation_loss),
                notation.percent(epoch.train_accuracy),
                notation.percent(epoch.validation_accuracy),
            )
            for epoch in record.results.training.epochs
        ),
    )


def cost(record: Record) -> Table:
    """Return parameters, FLOPs and file size before and after pruning, exact."""
    before, after = record.results.cost.before, record.results.cost.after
    lines = (
        ("Parameters", before.parameters, after.parameters),
        ("FLOPs for one image", before.flops, after.flops),
        ("Model file (bytes)", before.file_bytes, after.file_bytes),
    )
    return Table(
        "cost",
        captions.of_table("cost"),
        columns("Cost", "before", "after", "change", "relative"),
        tuple(_cost_row(*line) for line in lines),
    )


def _cost_row(name: str, before: int | None, after: int | None) -> Row:
    missing = notation.NOT_MEASURED
    if before is None or after is None:
        change = relative = notation.DASH
    else:
        change, relative = notation.signed_count(after - before), notation.relative(before, after)
    return (
        name,
        notation.count(before, missing),
        notation.count(after, missing),
        change,
        relative,
    )


def latency(record: Record) -> Table:
    """Return milliseconds for an answer; no rows if it was not measured."""
    found = {(one.network, one.batch_size): one for one in record.provenance.latency}
    sizes = sorted({size for _, size in found})
    return Table(
        "latency",
        captions.of_table("latency"),
        columns("Images at once", *dict.fromkeys(name for name, _ in found)),
        tuple(
            (
                notation.count(size),
                *(_milliseconds(one) for (_, own), one in found.items() if own == size),
            )
            for size in sizes
        ),
    )


def _milliseconds(one: Latency) -> str:
    spread = f"({one.lower_quartile_ms:.1f} to {one.upper_quartile_ms:.1f})"
    return f"{one.median_ms:.1f} {spread.replace(' ', notation.NO_BREAK)}"


def pruning(record: Record) -> Table:
    """Return how the nodes were chosen."""
    choice = record.results.pruning
    ignore = choice.ignore_below
    return pairs(
        "pruning",
        {
            "Strategy": captions.strategy(choice.strategy),
            "Nodes judged on": (
                "nothing, drawn at random"
                if choice.chosen_on is None
                else f"{notation.split_name(choice.chosen_on)} images"
            ),
            "Important below": notation.threshold(choice.low),
            "Worse above": notation.threshold(choice.high),
            "Left alone at or below": (
                "no such limit" if ignore is None else notation.threshold(ignore)
            ),
            "Layers, in the order of pruning": notation.listing(choice.layers) or "none",
            "Nodes removed": notation.count(choice.removed),
            "Nodes left alone": notation.count(choice.ignored),
            "Nodes kept after the last look": notation.count(
                _nodes_open(record) - choice.removed - choice.ignored
            ),
            "Candidates evaluated": notation.count(choice.evaluations),
        },
    )


def _nodes_open(record: Record) -> int:
    """Return the nodes of the layers that were open to pruning."""
    return sum(
        one.nodes for one in record.results.layers if one.name in record.results.pruning.layers
    )


def checklist(sections: Mapping[str, Mapping[str, str]]) -> Table:
    """Return which item of the guidelines stands where, and which are left to the author.

    Args:
        sections: those of this report, as in `captions.yaml`; another's items are not assessed.
    """
    return Table(
        "checklist",
        captions.of_table("checklist"),
        tuple(Column(head, is_text=True) for head in ("Asked for", "TRIPOD+AI", "CLAIM", "Here")),
        tuple(
            (
                item["asks"],
                item["tripod"] or notation.DASH,
                item["claim"] or notation.DASH,
                _place(item["section"], sections),
            )
            for item in captions.checklist()
        ),
    )


def _place(section: str, sections: Mapping[str, Mapping[str, str]]) -> str:
    if not section:
        return "yours to write"
    return sections[section]["title"] if section in sections else "not assessed"


def provenance(record: Record) -> Iterator[Table]:
    """Yield the times, those of the stages, the versions with the devices, and the digests."""
    found = record.provenance
    again = len(found.starts) - 1
    yield pairs(
        "times",
        {
            "Begun": found.begun,
            "Started again to compute": notation.plural(again, "time") if again > 0 else "never",
            "Last start": found.starts[-1] if found.starts else found.begun,
            "Evaluated": found.stages[-1].ended if len(found.stages) == len(ENDS) else "not known",
            "Threads": notation.count(found.threads),
            "Memory of the machine": (
                "not known"
                if found.memory_bytes is None
                else f"{found.memory_bytes / 2**30:.1f} GiB"
            ),
        },
    )
    yield Table(
        "stages",
        captions.of_table("stages"),
        tuple(Column(head, is_text=True) for head in ("Stage", "Ended", "Took")),
        tuple((one.stage, one.ended, duration(one.seconds)) for one in found.stages),
    )
    devices = {"device": ", then ".join(record.provenance.devices)}
    yield pairs("versions", {**record.provenance.versions, **devices})
    yield pairs("report_versions", record.provenance.report_versions)
    yield pairs("digests", record.provenance.digests)
