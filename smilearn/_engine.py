"""The in-memory schedule: blocks of slices outside, samples inside (floor 3).

For each block of slices: one product, moments, tables, look-ups. The block of
projections is reused, so that memory does not grow with the number of slices.
"""

import numpy as np
import torch
from tqdm.auto import tqdm

from smilearn._moments import ClassMoments, centre_and_scale, moments_of, standardize
from smilearn._reader import PmiReader
from smilearn._reliability import SliceTally
from smilearn._tables import nodes_needed

_FIRST_SLICES = 256


class TrainingPass:
    """Fit slices and score the samples they are fitted on, as many as are asked for.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Embeddings.

    codes : ndarray of shape (n_samples,)
        Class of each sample, 0 to n_classes - 1, none of them empty.

    settings : Settings
        Density, device, precision.

    block_length : int
        Directions in an orthonormal block.

    left_out : bool
        Whether a sample is left out of the moments it is scored with.

    verbose : bool, default=False
        Whether to show a progress bar over blocks of slices.
    """

    def __init__(self, X, codes, settings, *, block_length, left_out, verbose=False):
        self.settings, self.verbose = settings, verbose
        self.left_out = left_out
        self.count = np.bincount(codes)
        self.order = np.argsort(codes, kind="stable")
        self.centre, self.inverse_scale = centre_and_scale(X)
        self.tally = SliceTally(len(X), block_length)
        self._parts, self._nodes, self._buffer = [], [], None
        ends = np.cumsum(self.count)
        self._segments = [
            slice(end - size, end) for end, size in zip(ends, self.count, strict=True)
        ]
        residuals = standardize(
            X, self.centre, self.inverse_scale, settings.dtype, self.order
        )
        self._class_means = np.stack(
            [residuals[rows].mean(0, dtype=np.float64) for rows in self._segments]
        )
        for rows, mean in zip(self._segments, self._class_means, strict=True):
            residuals[rows] -= mean
        self._residuals = settings.tensor(residuals)  # (n, d), sorted by class
        self._codes = torch.as_tensor(codes[self.order], device=settings.device)

    def extend(self, directions):
        """Score with the slices of `directions`, (S, d), not counted in so far."""
        start, n_samples = self.tally.n_slices, len(self._residuals)
        blocks = self.settings.blocks(start, len(directions), n_samples)
        for block in tqdm(blocks, "slices", disable=not self.verbose):
            self._add(directions[block], np.arange(block.start, block.stop))

    def extend_until(self, reliability, directions, most):
        """Double the slices until the ranking is reliable, or there are `most`."""
        wanted = min(_FIRST_SLICES, most)
        self.extend(directions.first(wanted))
        while self.tally.reliability < reliability and wanted < most:
            wanted = min(2 * wanted, most)
            self.extend(directions.first(wanted))

    def _add(self, directions, places):
        product = self._product(directions)
        means = directions @ self._class_means.T  # (S, K)
        moments = moments_of(product, self._segments, self.count, means)
        nodes = nodes_needed(self.settings.densities(moments), moments)
        self._parts.append(moments)
        self._nodes.append(nodes)
        reader = PmiReader(
            self.settings, moments, nodes, training=True, left_out=self.left_out
        )
        sums = TallySums(self.tally, places, product)
        for rows, pmi in reader.read(product, [self._codes]):
            sums.add(rows, pmi[0])
        sums.flush()

    def _product(self, directions):
        """Project on some slices, (S, n), in memory that every block uses again."""
        if self._buffer is None or len(self._buffer) < len(directions):
            shape = len(directions), len(self._residuals)
            self._buffer = self._residuals.new_empty(shape)
        product = self._buffer[: len(directions)]
        slices = self.settings.tensor(directions)
        return torch.mm(slices, self._residuals.T, out=product)

    @property
    def moments(self):
        """Moments of all slices so far."""
        return ClassMoments.concatenate(self._parts)

    @property
    def nodes(self):
        """Grid size of all slices so far, (n_slices,)."""
        return np.concatenate(self._nodes)

    def in_input_order(self, values):
        """Undo the sort by class."""
        result = np.empty_like(values)
        result[self.order] = values
        return result


class TallySums:
    """Group sums of one block of slices, on the device until it is flushed.

    Parameters
    ----------
    tally : SliceTally
        Where the sums go.

    places : ndarray of shape (S,)
        Places of the slices of the block in the draw.

    like : Tensor of shape (S, n_samples)
        Gives device, precision and number of samples.
    """

    def __init__(self, tally, places, like):
        self.tally, self.places = tally, places
        self._groups = torch.as_tensor(tally.groups(places), device=like.device)
        self._sums = like.new_zeros((4, like.shape[1]))
        self._squares = like.new_zeros(like.shape[1])

    def add(self, rows, pmi):
        """Count in the pmi (len(rows), n_samples) of some slices of the block."""
        member = torch.nn.functional.one_hot(self._groups[rows], 4).to(pmi).T
        self._sums.addmm_(member, pmi)
        self._squares += pmi.square_().sum(0)

    def flush(self):
        """Hand the sums over."""
        sums = self._sums.cpu().double().numpy()
        self.tally.add(self.places, sums, self._squares.cpu().double().numpy())


def score_new(X, columns, directions, moments, nodes, settings):
    """Mean pmi over fitted slices of samples that were not fitted.

    Parameters
    ----------
    X : ndarray of shape (n_samples, n_features)
        Standardized embeddings.

    columns : list of ndarray of shape (n_samples,)
        Label of each sample, once for each column wanted.

    directions : ndarray of shape (n_slices, n_features)
        The slices.

    moments : ClassMoments
        Their moments.

    nodes : ndarray of shape (n_slices,)
        Their grid sizes.

    settings : Settings
        Density, device, precision.

    Returns
    -------
    scores : ndarray of shape (n_samples, n_columns)
        In nats.
    """
    points = settings.tensor(X)
    columns = [torch.as_tensor(codes, device=settings.device) for codes in columns]
    totals = np.zeros((len(columns), len(X)))
    for block in settings.blocks(0, len(directions), len(X)):
        product = settings.tensor(directions[block]) @ points.T
        reader = PmiReader(settings, moments[block], nodes[block])
        sums = product.new_zeros(totals.shape)
        for _, pmi in reader.read(product, columns):
            for column, values in zip(sums, pmi, strict=True):
                column += values.sum(0)
        totals += sums.cpu().double().numpy()
    return totals.T / len(directions)
