"""The suites: which configuration, what of it is changed, and what a reader must know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Suite:
    """One problem to prune.

    Attributes:
        name: on the command line.
        config: stem of the file in `configs/` that it starts from.
        overrides: texts `a.b=value`, as for `--set`.
        note: what the images and the weights are; goes into the JSON.
        reference_batch_size: images per step of the literal `evaluate`.
        frozen_until: name of the layer up to which (inclusive) the weights stay as seeded and
            only what follows is trained; None trains the whole network.
        probes: evaluations on which the reference is compared with float64.
    """

    name: str
    config: str
    note: str
    overrides: tuple[str, ...] = ()
    reference_batch_size: int = 256
    frozen_until: str | None = None
    probes: int = 4


_DENSE = (
    "name=vgg16_dense",
    "data={source: synthetic_endoscopy, images_per_class: 150, render_side_px: 224}",
    "model.initializer=he_normal",
    "importance.batch_size=8",
    "importance.memory_budget_gib=1.0",
    "importance.layers=[fc1, fc2]",
    "pruning.layers=[fc1, fc2]",
)
_DENSE_NOTE = (
    "1,200 generated images of 224x224 in eight classes (cartoons, no medical images); the "
    "thirteen convolutions are as seeded, fc1, fc2 and the output were trained on their frozen "
    "features of the same images; fc1 and fc2 are pruned. The literal evaluation takes steps of "
    "32 images: of 256 the first convolutions alone need 7 GiB."
)
_MLP_NOTE = "MNIST, its validation split; trained for five epochs"

SUITES = {
    suite.name: suite
    for suite in (
        Suite("mnist-mlp", "mnist_mlp", _MLP_NOTE, ("pruning.ignore_below=-1e-3",), probes=20),
        Suite(
            "mnist-mlp-exhaustive",
            "mnist_mlp",
            _MLP_NOTE,
            ("pruning.strategy=exhaustive",),
            probes=20,
        ),
        Suite("mnist-cnn", "mnist_cnn", _MLP_NOTE),
        Suite(
            "cifar10-cnn",
            "cifar10_cnn",
            "CIFAR-10, its validation split; trained five epochs",
        ),
        Suite(
            "hyperkvasir-vgg16",
            "hyperkvasir5_small",
            "2,150 frames of HyperKvasir, the validation part of a split that keeps near-duplicate "
            "frames together; a narrow VGG-16, all layers pruned",
        ),
        Suite(
            "vgg16-dense",
            "kvasir_vgg16",
            _DENSE_NOTE,
            _DENSE,
            reference_batch_size=32,
            frozen_until="flatten",
            probes=2,
        ),
    )
}
