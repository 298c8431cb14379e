"""The slices, fitted: a member of the pool, and the PSMI."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch

from smilearn.scoring._points import project
from smilearn.scoring._reader import Columns, SliceReader, SliceSums
from smilearn.scoring._sums import ClassMoments
from smilearn.utils._devices import in_blocks


@dataclass(frozen=True)
class Slices:
    """Directions (S, d), moments of the classes on them, and grid sizes (S,)."""

    directions: np.ndarray
    moments: ClassMoments
    nodes: np.ndarray

    def __len__(self):
        return len(self.directions)

    def first(self, n_slices):
        """The first slices alone."""
        some = slice(0, n_slices)
        return Slices(self.directions[some], self.moments[some], self.nodes[some])

    def psmi(self, points, codes, settings):
        """PSMI of points with their labels, (n, 1), or without codes: (n, K)."""
        return self.means(points, [self.columns("pmi", points, codes)], settings)

    def table(self, points, settings):
        """Mean log density of points in each class, (n, K)."""
        return self.means(points, [self.columns("density", points)], settings)

    def left_out(self, points, codes, weight, settings, likely=None):
        """The same of training samples, `weight` (n,) copies of each left out.

        Besides their own label, `likely` (n, c) are read, or all; others take the mean.
        """
        n_classes, own = len(self.moments.count), codes.cpu().numpy()
        if likely is None:  # all labels but the own one, which is read left out
            likely = (own[:, None] + np.arange(1, n_classes)) % n_classes
        columns = columns_of("density", likely.T, points)
        columns = [columns, own_column("density", codes, weight)]
        fitted = bool(weight.any())
        values = self.means(points, columns, settings, in_range=fitted)
        read = values[:, :-1]
        table = np.repeat(read.mean(1, keepdims=True), n_classes, axis=1)
        np.put_along_axis(table, likely, read, 1)
        table[np.arange(len(own)), own] = values[:, -1]
        return table

    def means(self, points, columns, settings, *, in_range=False):
        """Mean over the slices of what all columns read, (n, n_columns)."""
        totals = 0.0
        for _, sums in self.sums(points, columns, settings, in_range=in_range):
            totals = totals + np.concatenate([total.sum(1) for total, _ in sums])
        return totals.T / len(self)

    def sums(self, points, columns, settings, *, cuts=(), groups=None, in_range=False):
        """Go through the slices: where each piece ends, and what columns read of it.

        For each of a list of columns: sums over the slices of each group (n_columns,
        n_groups, n), and of squares (n_columns, n). `groups` (S,) are those of the
        slices; `cuts` end pieces too; points that were fitted are `in_range`.
        """
        n_groups = 1 if groups is None else 4  # those of a SliceTally
        groups = np.zeros(len(self), int) if groups is None else groups
        cuts = np.asarray(cuts, int)

        def work(block):
            product = points.new_empty((block.stop - block.start, len(points)))
            project(settings.tensor(self.directions[block]), points, product)
            inside = cuts[(block.start < cuts) & (cuts < block.stop)]
            for begin, end in pairwise([block.start, *inside, block.stop]):
                piece = slice(begin, end)
                Z = product[begin - block.start : end - block.start]
                sums = [SliceSums(groups[piece], n_groups, Z, each) for each in columns]
                fitted = settings, self.moments[piece], self.nodes[piece]
                SliceReader(*fitted, in_range=in_range).add_to(sums, Z, columns)
                yield end, [each.values() for each in sums]

        return in_blocks(work, settings, 0, len(self), len(points))

    def columns(self, function, points, codes=None):
        """Columns of points under the labels given, or under every one."""
        every = np.arange(len(self.moments.count))[:, None]
        return columns_of(function, every if codes is None else codes[None], points)


def columns_of(function, labels, points):
    """Columns of points under some labels, (n_columns, n) or (n_columns, 1)."""
    labels = np.broadcast_to(labels, (len(labels), len(points))).copy()
    return Columns(function, torch.as_tensor(labels, device=points.device))


def own_column(function, codes, left_out):
    """Column of the own labels; `left_out` (n,) copies, above 0 for all or for none."""
    if not left_out.any():
        return Columns(function, codes[None])
    whole = (left_out == 1).all()
    weight = None if whole else torch.as_tensor(left_out, device=codes.device)
    return Columns(function, codes[None], True, weight)
