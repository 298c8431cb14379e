"""From projections to pmi: one block of fitted slices, read by table."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from smilearn.scoring import _kernels
from smilearn.scoring._densities import (
    DENSITIES,
    chunks,
    class_pmi,
    grid_of,
    locate,
    nodes_needed,
    read,
    tabulate,
)
from smilearn.scoring._kernels import tables
from smilearn.utils._devices import most_slices

# of projections held at once: pieces that malloc reuses, or that keep a GPU busy
_BLOCK_BYTES = {"cpu": 30 * 2**20, "cuda": 2**30}
_BLOCK_RANGE = (16, 512)
_COEFFICIENTS = 10  # of a density
_WIDE = 200  # slices: narrower products lose a tenth of their speed


@dataclass(frozen=True)
class Settings:
    """What a pass needs to know beside its data."""

    density: str
    device: torch.device
    dtype: str
    block_size: int | None = None

    def tensor(self, array):
        """Move an array to the device in the precision of the pass."""
        return torch.as_tensor(np.asarray(array, self.dtype), device=self.device)

    @property
    def torch_dtype(self):
        """Precision of the pass, as torch names it."""
        return getattr(torch, self.dtype)

    @property
    def exactly(self):
        """The same in double precision, where the device has it."""
        best = "float32" if self.device.type == "mps" else "float64"
        return replace(self, dtype=best)

    def blocks(self, start, stop, n_samples):
        """Cut the slices from start to stop into blocks."""
        slice_bytes = np.dtype(self.dtype).itemsize * max(n_samples, 1)
        most, size = most_slices(self.device, slice_bytes), self.block_size
        if size is None:
            most_bytes = _BLOCK_BYTES.get(self.device.type, _BLOCK_BYTES["cpu"])
            fits = np.clip(most_bytes // slice_bytes, *_BLOCK_RANGE)
            if fits < _WIDE and _WIDE * slice_bytes <= 1.5 * most_bytes:
                fits = _WIDE
            n_blocks = math.ceil((stop - start) / min(fits, most))
            size = math.ceil((stop - start) / max(n_blocks, 1)) or 1
        size = min(size, most)
        return [slice(i, min(i + size, stop)) for i in range(start, stop, size)]

    def densities(self, moments):
        """Class-conditional densities of some slices."""
        columns = (moments.count[None], moments.mean, moments.variance)
        tensors = [self.tensor(values)[..., None] for values in columns]
        return DENSITIES[self.density](
            *tensors, self.tensor(moments.pooled)[:, None, None]
        )

    def nodes(self, moments):
        """Grid size of each of some slices."""
        return nodes_needed(self.densities(moments), moments)


class PmiReader:
    """The pmi of projections on one block of fitted slices."""

    def __init__(self, settings, moments, nodes, *, training=False, left_out=False):
        self.settings = settings
        self.moments, self.nodes = moments, nodes
        self.training, self.left_out = training, left_out

    def add_to(self, sums, Z, columns):
        """Look each projection up, and add what is read to the sums of its sample."""
        for level in np.unique(self.nodes):
            rows = np.flatnonzero(self.nodes == level)
            if level and _kernels.usable(Z.device):
                self._add_compiled(sums, Z, columns, rows, int(level))
                continue
            work = self._tabulated if level else self._exact
            for part_rows, pmi in work(Z, columns, rows, int(level)):
                for column_sums, values in zip(sums, pmi, strict=True):
                    column_sums.add(part_rows, values)

    def _add_compiled(self, sums, Z, columns, rows, n_nodes):
        offsets = [(codes * n_nodes).int().numpy() for codes in columns]
        for part_rows, table, (origin, step) in self._compiled_tables(rows, n_nodes):
            cells = origin, step, n_nodes
            for column_sums, offset in zip(sums, offsets, strict=True):
                _kernels.look_up(
                    Z.numpy(),
                    part_rows,
                    cells,
                    table,
                    offset,
                    *column_sums.arrays(part_rows),
                )
            if not self.training:
                table, *grid = map(torch.from_numpy, (table, origin, step))
                self._make_good(sums, Z, columns, part_rows, table, grid, n_nodes)

    def _compiled_tables(self, rows, n_nodes):
        student = self.settings.density == "student"
        log_prior = np.log(self.moments.share)
        offset = torch.from_numpy(log_prior)[:, None]
        for some in chunks(len(rows), _COEFFICIENTS * len(offset)):
            part_rows, moments = rows[some], self.moments[rows[some]]
            density = self.settings.exactly.densities(moments)
            coefficients, flat = density.coefficients(offset), moments.total == 0
            grid = grid_of(moments.low, moments.high, n_nodes)
            origin, step = (values.astype(self.settings.dtype) for values in grid)
            for part in chunks(len(part_rows), n_nodes * len(log_prior)):
                cells, which = (origin[part], step[part]), coefficients[part]
                nodes = *cells, n_nodes
                table = tables(student, which, log_prior, nodes, self.left_out)
                table[flat[part]] = 0
                yield part_rows[part], table.reshape(len(table), -1), cells

    def _make_good(self, sums, Z, columns, part_rows, table, grid, n_nodes):
        """Put the exact value in the place of what was read at the end of a grid."""
        for inner in chunks(len(part_rows), Z.shape[1]):
            rows, (origin, step) = part_rows[inner], (values[inner] for values in grid)
            _, outside = _split(Z[self._index(rows)], origin, step, n_nodes)
            row, column, z = outside
            edge = torch.where(z > origin[row], n_nodes - 1, 0)
            for part, exact in self._outside(outside, columns, rows):
                slices, samples = row[part], column[part]
                for column_sums, codes, values in zip(
                    sums, columns, exact, strict=True
                ):
                    place = codes[samples] * n_nodes + edge[part]
                    read_at, its = table[inner][slices, place].real, slices.cpu()
                    column_sums.replace(rows[its.numpy()], samples, read_at, values)

    def _function(self, rows, settings):
        """The pmi on some slices as a function of z."""
        moments = self.moments[rows]
        density = settings.densities(moments)
        log_prior = settings.tensor(np.log(moments.share))[:, None]
        # a slice on which all samples are one point tells nothing of any label
        flat = torch.as_tensor(moments.total == 0, device=settings.device)

        def function(z):
            pmi = class_pmi(density, log_prior, z, left_out=self.left_out)
            pmi[flat] = 0
            return pmi

        return function

    def _exact(self, Z, columns, rows, _):
        n_classes, n_samples = len(self.moments.count), Z.shape[1]
        for row in rows:
            exactly = self.settings.exactly
            function = self._function([row], exactly)
            pmi = [Z.new_empty((1, n_samples)) for _ in columns]
            for part in chunks(n_samples, n_classes):
                z = Z[row, part].to(exactly.torch_dtype)
                table = function(z[None, None])[0]  # (K, part)
                for values, codes in zip(pmi, columns, strict=True):
                    values[0, part] = table.gather(0, codes[part][None])[0].to(Z)
            yield self._index([row]), pmi

    def _tables(self, rows, n_nodes):
        """Tables of some slices, as many at a time as a temporary may hold."""
        most = -self.settings.tensor(np.log(self.moments.share))[:, None]
        for part in chunks(len(rows), n_nodes * len(self.moments.count)):
            part_rows = rows[part]
            grid = grid_of(
                self.moments.low[part_rows], self.moments.high[part_rows], n_nodes
            )
            origin, step = (self.settings.tensor(values) for values in grid)
            function = self._function(part_rows, self.settings)
            yield (
                part_rows,
                tabulate(function, origin, step, n_nodes, most),
                (origin, step),
            )

    def _tabulated(self, Z, columns, rows, n_nodes):
        offsets = [codes * n_nodes for codes in columns]
        for part_rows, table, (origin, step) in self._tables(rows, n_nodes):
            for inner in chunks(len(part_rows), Z.shape[1]):
                index, cells = (
                    self._index(part_rows[inner]),
                    (origin[inner], step[inner]),
                )
                inside, outside = Z[index], None
                if not self.training:
                    inside, outside = _split(inside, *cells, n_nodes)
                node, fraction = locate(inside, *cells)
                pmi = [
                    read(table[inner], node + offset, fraction) for offset in offsets
                ]
                for part, exact in self._outside(outside, columns, part_rows[inner]):
                    row, column = outside[0][part], outside[1][part]
                    for values, own in zip(pmi, exact, strict=True):
                        values[row, column] = own
                yield index, pmi

    def _index(self, rows):
        return torch.as_tensor(rows, device=self.settings.device)

    def _outside(self, outside, columns, part_rows):
        """Exact values of projections outside the grid, some at a time."""
        row, column, z = outside or ((), (), ())
        for part in chunks(len(row), len(self.moments.count)):
            exactly = self.settings.exactly
            function = self._function(part_rows[row[part].cpu().numpy()], exactly)
            table = function(z[part, None, None].to(exactly.torch_dtype))[..., 0]
            yield (
                part,
                [
                    table.gather(1, codes[column[part]][:, None])[:, 0].to(z)
                    for codes in columns
                ],
            )


def _split(Z, origin, step, n_nodes):
    """Move projections outside the grid to its edge; say where they were."""
    low, high = origin[:, None], (origin + step * (n_nodes - 1))[:, None]
    row, column = ((low > Z) | (high < Z)).nonzero(as_tuple=True)
    outside = row, column, Z[row, column]
    return torch.minimum(torch.maximum(Z, low), high), outside


class SliceSums:
    """Sums over a block of slices for each sample, where the projections are."""

    def __init__(self, groups, n_groups, like):
        self._groups = groups
        self._total = like.new_zeros((n_groups, like.shape[1]))
        self._squares = like.new_zeros(like.shape[1])

    def add(self, rows, pmi):
        """Count in the pmi (len(rows), n_samples) of some slices; it is overwritten."""
        group = torch.as_tensor(self._groups, device=rows.device)[rows]
        member = torch.nn.functional.one_hot(group, len(self._total)).to(pmi).T
        self._total.addmm_(member, pmi)
        self._squares += pmi.square_().sum(0)

    def replace(self, rows, samples, before, after):
        """Count in one value of some samples instead of another."""
        group = torch.as_tensor(self._groups[rows], device=samples.device)
        self._total.index_put_((group, samples), after - before, accumulate=True)
        change = after.square() - before.square()
        self._squares.index_put_((samples,), change, accumulate=True)

    def arrays(self, rows):
        """Group of some slices, sums and sums of squares, to be added to in place."""
        return self._groups[rows], self._total.numpy(), self._squares.numpy()

    def values(self):
        """Sums (n_groups, n_samples) and sums of squares (n_samples,), float64."""
        return self._total.cpu().double().numpy(), self._squares.cpu().double().numpy()
