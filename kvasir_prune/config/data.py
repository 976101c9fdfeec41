"""The `data` section: where the images come from and how they are split."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from kvasir_prune.config.base import COSMETIC, LATER, Fraction, PositiveInt, Section


class Fractions(Section):
    """The wished share of each split in every class; a set's own test images stay its test set."""

    train: Fraction = 0.70
    """Share of images the weights are fitted to."""
    validation: Fraction = 0.15
    """Share of images that stop the training and judge the nodes."""
    test: Fraction = 0.15
    """Share of images nothing is chosen on."""

    @model_validator(mode="after")
    def _is_a_division(self) -> Fractions:
        shares = (self.train, self.validation, self.test)
        if abs(sum(shares) - 1.0) > 1e-9 or min(shares) <= 0.0:
            raise ValueError(f"must all be above 0 and add up to 1, got {shares}")
        return self


class BaseData(Section):
    """Keys that every source has."""

    root: str | None = Field(default=None, json_schema_extra=COSMETIC)
    """File or folder of the images; a relative path is looked up in the current folder, then in
    the folder that the environment variable KVASIR_PRUNE_DATA names."""
    cache_dir: str | None = Field(default=None, json_schema_extra=COSMETIC)
    """Where decoded images are kept; default: the run folder."""
    fractions: Fractions = Fractions()
    """Wished shares of the splits. Where the set brings its own test images, they are the test
    split, and train takes over the share: 70/15/15 becomes 85/15 of the rest."""
    limit_per_class: PositiveInt | None = None
    """Use at most so many images of each class and given split, chosen by seeded hash."""


NEAR_DUPLICATES = "near_duplicates"
"""The `group_by` that needs no manifest."""


def _is_a_rectangle(edges: list[float]) -> list[float]:
    left, top, right, bottom = edges
    if left >= right or top >= bottom:
        raise ValueError(f"must be [left, top, right, bottom], left < right, top < bottom: {edges}")
    return edges


Rectangle = Annotated[
    list[Fraction], Field(min_length=4, max_length=4), AfterValidator(_is_a_rectangle)
]


class FolderData(BaseData):
    """Keys of sources that read image files."""

    on_bad_image: Literal["fail", "skip"] = "fail"
    """What to do with files that cannot be decoded whole: stop and list them all, or leave them
    out and record them."""
    manifest: str | None = None
    """CSV file with a column `file` and more columns about each image, inside the root or beside
    it."""
    group_by: str | None = None
    """Column of the manifest that names the group (patient, video); no group is divided. Without a
    manifest, `near_duplicates` finds the groups: images that look almost the same."""
    max_deviation: Fraction = 0.05
    """With groups: the largest accepted difference between a wished and an achieved share."""

    blank: list[Rectangle] = Field(default=[], json_schema_extra=LATER)
    """Rectangles made black in every image, so that an inset or a text there tells no class: each
    [left, top, right, bottom] in fractions of the width and height, [0, 0.68, 0.34, 1] for the
    lower left. Whoever uses the network later must make the same rectangles black."""

    @model_validator(mode="after")
    def _groups_and_manifest_go_together(self) -> FolderData:
        found_here = self.manifest is None and self.group_by == NEAR_DUPLICATES
        if not found_here and (self.manifest is None) != (self.group_by is None):
            alone = "manifest" if self.group_by is None else "group_by"
            other = "group_by" if self.group_by is None else "manifest"
            raise ValueError(
                f"{alone} is set without {other}; groups need both, or group_by: {NEAR_DUPLICATES}"
            )
        return self


class ImageFolder(FolderData):
    """A folder, .zip or .tar.gz of class folders, with or without train/test folders above."""

    source: Literal["image_folder"]


class KvasirV2(FolderData):
    """Kvasir v2 (Pogorelov et al. 2017), 8 classes of 1,000 images, downloaded when absent."""

    source: Literal["kvasir_v2"]
    root: str | None = Field(default="data", json_schema_extra=COSMETIC)
    """Folder that holds, or shall hold, kvasir-dataset-v2.zip."""
    url: str = Field(
        default="https://datasets.simula.no/downloads/kvasir/kvasir-dataset-v2.zip",
        json_schema_extra=COSMETIC,
    )
    """Where the archive is downloaded from."""
    images_per_class: PositiveInt = 1000
    """How many images each of the eight class folders must hold."""


class SyntheticEndoscopy(FolderData):
    """Endoscopy-like cartoons of the eight Kvasir classes, rendered by this package."""

    source: Literal["synthetic_endoscopy"]
    images_per_class: PositiveInt = 60
    """How many images of each class to render."""
    render_side_px: PositiveInt = 128
    """Side of the rendered JPEG files in pixels."""
    render_seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the renderer; apart from the run's seed, so that seeds share their images."""


class Mnist(BaseData):
    """MNIST: 60,000 + 10,000 handwritten digits, 28x28 grey."""

    source: Literal["mnist"]


class FashionMnist(BaseData):
    """Fashion-MNIST: 60,000 + 10,000 articles of clothing, 28x28 grey."""

    source: Literal["fashion_mnist"]


class Cifar10(BaseData):
    """CIFAR-10: 50,000 + 10,000 photographs, 32x32 colour."""

    source: Literal["cifar10"]


class Digits(BaseData):
    """scikit-learn's 1,797 handwritten digits, 8x8 grey; needs no file."""

    source: Literal["digits"]


DataConfig = Annotated[
    ImageFolder | KvasirV2 | SyntheticEndoscopy | Mnist | FashionMnist | Cifar10 | Digits,
    Field(discriminator="source"),
]
