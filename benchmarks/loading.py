"""Samples per second of augmented pictures: assay's BatchLoader against torchvision per sample and batches by hand.

    python benchmarks/loading.py
    python benchmarks/loading.py --threads 1 --workers 2 --rounds 30

Random crop with padding 4, horizontal flip and normalising, of random uint8 pictures of CIFAR's size (50,000 of
3×32×32, in memory), in batches of 128 in an order of its own for every epoch. All give float32 batches (128, 3, 32, 32)
and their targets; nothing is done with them.

- *torchvision* is what most people write: a dataset that applies `torchvision.transforms.v2` to one tensor at a time,
  and torch's DataLoader, without workers and with.
- *assay* is BatchLoader with its own RandomCrop, RandomHorizontalFlip and Normalize, without workers and with.
- *by hand* is the fastest exact way we know for whole batches, without any checks: a padded uint8 store made once, a
  sliding window of NumPy as a view, one gather for all crops, the flip by a mask, and normalising in place.

Protocol: one process, by turns A B C D E A B C D E; the first turns are apart. A turn is an epoch of 50,000 samples,
for torchvision of `--samples` (drawn from the 50,000; it is many times slower), from asking for the first batch until
the last one is there. Ratios are of samples per second, turn by turn. Workers live on between the turns. CPU time is
that of the main process, so there is none where there are workers.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import count

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command `assay` has it; it holds for all sides

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision.transforms import v2
from turns import Seconds, header, now, row, table

from assay.data.datasets.arrays import ArrayDataset
from assay.data.datasets.base import DatasetInfo
from assay.data.loaders.batch import BatchLoader
from assay.data.samples import Samples
from assay.data.transforms.normalize import Normalize
from assay.data.transforms.pipeline import Pipeline
from assay.data.transforms.random_crop import RandomCrop
from assay.data.transforms.random_horizontal_flip import RandomHorizontalFlip

Batch = tuple[Tensor, Tensor]

SIZE, PADDING, BATCH = 32, 4, 128
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


class RandomPictures(ArrayDataset):
    """Noise in the shape of CIFAR-10's training data."""

    def __init__(self) -> None:
        generator = np.random.default_rng(0)
        pictures = generator.integers(0, 256, (50_000, 3, SIZE, SIZE), dtype=np.uint8)
        targets = generator.integers(0, 10, len(pictures))
        super().__init__("train", torch.from_numpy(pictures), torch.from_numpy(targets))

    def describe(self) -> DatasetInfo:
        return DatasetInfo(shape=(3, SIZE, SIZE), classes=10)


class PerSample(Dataset[Batch]):
    """The same pictures as torch's and torchvision's documentation have it."""

    def __init__(self, pictures: RandomPictures) -> None:
        self.inputs, self.targets = pictures.inputs, pictures.targets
        self.transform = v2.Compose(
            [
                v2.RandomCrop(SIZE, padding=PADDING),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, index: int) -> Batch:
        return self.transform(self.inputs[index]), self.targets[index]


class ByHand:
    """Whole batches with nothing around them."""

    def __init__(self, pictures: RandomPictures) -> None:
        around = ((0, 0), (0, 0), (PADDING, PADDING), (PADDING, PADDING))
        padded = np.pad(pictures.inputs.numpy(), around)
        self.windows = sliding_window_view(padded, (SIZE, SIZE), axis=(2, 3))
        self.targets = pictures.targets.numpy()
        self.mean = 255 * torch.tensor(MEAN).view(1, 3, 1, 1)
        self.scale = 1 / (255 * torch.tensor(STD).view(1, 3, 1, 1))
        self.generator = np.random.default_rng(1)

    def __iter__(self) -> Iterator[Batch]:
        order = self.generator.permutation(len(self.targets))
        for begin in range(0, len(order), BATCH):
            rows = order[begin : begin + BATCH]
            tops, lefts = self.generator.integers(0, 2 * PADDING + 1, (2, len(rows)))
            pictures = self.windows[rows, :, tops, lefts]
            flipped = np.flatnonzero(self.generator.random(len(rows)) < 0.5)
            pictures[flipped] = pictures[flipped][..., ::-1]
            inputs = torch.from_numpy(pictures).to(torch.float32).sub_(self.mean).mul_(self.scale)
            yield inputs, torch.from_numpy(self.targets[rows])


def assay_loader(pictures: RandomPictures, workers: int) -> BatchLoader:
    transforms = Pipeline([RandomCrop(SIZE, PADDING), RandomHorizontalFlip(), Normalize(MEAN, STD)])
    return BatchLoader(Samples(pictures, pipeline=transforms), batch_size=BATCH, workers=workers, shuffle=True)


def torch_loader(pictures: RandomPictures, workers: int, samples: int) -> DataLoader[Batch]:
    dataset = PerSample(pictures)
    drawn = RandomSampler(dataset, num_samples=samples)
    return DataLoader(dataset, BATCH, sampler=drawn, num_workers=workers, persistent_workers=workers > 0)


def contenders(pictures: RandomPictures, workers: int, samples: int) -> dict[str, Callable[[], Iterable[Batch]]]:
    """What gives the batches of a turn, by name."""
    plain, own = torch_loader(pictures, 0, samples), assay_loader(pictures, 0)
    by_hand, epochs = ByHand(pictures), count()
    found: dict[str, Callable[[], Iterable[Batch]]] = {
        "torchvision": lambda: plain,
        "assay": lambda: own.batches(next(epochs)),
        "by hand": lambda: by_hand,
    }
    if workers:
        plain_workers, own_workers = torch_loader(pictures, workers, samples), assay_loader(pictures, workers)
        found[f"torchvision, {workers} workers"] = lambda: plain_workers
        found[f"assay, {workers} workers"] = lambda: own_workers.batches(next(epochs))
    return found


def turn(batches: Iterable[Batch]) -> Seconds:
    """Time per sample of everything that `batches` gives."""
    begin = now()
    samples = sum(len(targets) for _, targets in batches)
    return now().since(begin, samples)


def report(times: dict[str, list[Seconds]], workers: int) -> None:
    """Print the table; samples per second are medians of the wall's clock and belong to the machine, not to assay."""
    pairs = [("assay", "torchvision"), ("assay", "by hand"), ("by hand", "torchvision")]
    if workers:
        with_workers = f", {workers} workers"
        pairs += [(f"assay{with_workers}", f"torchvision{with_workers}"), (f"assay{with_workers}", "assay")]
        pairs += [("assay", f"torchvision{with_workers}")]
    rows = []
    for one, other in pairs:
        cells = row(f"{one} / {other}", times[other], times[one])  # speeds are times the other way round
        rows.append((*cells[:3], "-") if "workers" in cells[0] else cells)
    print(
        "\n".join(f"{np.median([1 / time.wall for time in found]):8,.0f} samples/s  {n}" for n, found in times.items())
    )
    print(table(rows), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=20, help="turns of every contender that count")
    parser.add_argument("--first", type=int, default=2, help="first turns that do not count")
    parser.add_argument("--samples", type=int, default=3840, help="of a turn of torchvision's")
    parser.add_argument(
        "--workers", type=int, default=2, help="processes of the loaders with workers; 0: leave them out"
    )
    parser.add_argument("--threads", type=int, default=2, help="of the main process")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(header(("torchvision", "numpy"), [options.threads]))
    print("samples per second, ratio of the first to the second; above 1 the first is faster\n", flush=True)
    found = contenders(RandomPictures(), options.workers, options.samples)
    times: dict[str, list[Seconds]] = {name: [] for name in found}
    for number in range(options.first + options.rounds):
        for name, batches in found.items():
            seconds = turn(batches())
            if number >= options.first:
                times[name].append(seconds)
    report(times, options.workers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
