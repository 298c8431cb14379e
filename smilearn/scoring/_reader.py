"""From projections to what they say of labels: one block of fitted slices, by table."""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from smilearn.scoring import _kernels
from smilearn.scoring._densities import (
    DENSITIES,
    chunks,
    class_pmi,
    grid_of,
    log_densities,
    nodes_needed,
    tabulate,
)
from smilearn.utils._devices import most_slices
from smilearn.utils._threads import in_threads

# of projections held at once: pieces that malloc reuses, or that keep a GPU busy
_BLOCK_BYTES = {"cpu": 30 * 2**20, "cuda": 2**30}
_BLOCK_RANGE = (16, 512)
_WIDE = 200  # slices: narrower products lose a tenth of their speed


@dataclass(frozen=True)
class Settings:
    """Density, device, precision and size of blocks."""

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


class Columns(NamedTuple):
    """What to read for each sample: a function of its projection and of some labels."""

    function: str  # "pmi" or "density"
    codes: torch.Tensor  # (n_columns, n_samples)
    left_out: bool = False
    weight: torch.Tensor | None = None  # of what is left out, where it is not one copy


_FUNCTIONS = {"pmi": class_pmi, "density": log_densities}


class SliceReader:
    """The pmi and the log densities of projections on one block of fitted slices."""

    def __init__(self, settings, moments, nodes, *, in_range=False):
        self.settings, self.moments, self.nodes = settings, moments, nodes
        self._in_range = in_range  # of the projections that were fitted

    def add_to(self, sums, Z, columns):
        """Add what columns read of projections (S, n) to their sums; lists of both."""
        for level in np.unique(self.nodes):
            rows = np.flatnonzero(self.nodes == level)
            for each, some in zip(sums, columns, strict=True):
                exact = some.weight is not None or not level
                work = self._compute if exact else self._look_up
                work(each, some, Z, rows, int(level))

    def _function(self, rows, settings, columns, weight=1.0):
        """What columns read on some slices, as a function of z."""
        moments, function = self.moments[rows], _FUNCTIONS[columns.function]
        density = settings.densities(moments)
        count = settings.tensor(moments.count)[:, None]
        # a slice on which all samples are one point tells nothing of any label
        flat = torch.as_tensor(moments.total == 0, device=settings.device)

        def values(z):
            options = {"left_out": columns.left_out, "weight": weight}
            result = function(density, count, z, **options)
            result[flat] = 0
            return result

        return values

    def _look_up(self, sums, columns, Z, rows, n_nodes):
        for part in chunks(len(rows), n_nodes * len(self.moments.count)):
            low, high = self.moments.low[rows[part]], self.moments.high[rows[part]]
            origin, step = map(self.settings.tensor, grid_of(low, high, n_nodes))
            grid = origin, step, n_nodes
            table = self._table(rows[part], columns, grid)
            sums.look_up(Z, rows[part], grid, table, columns.codes)
            if not self._in_range:
                self._make_good(sums, Z, rows[part], grid, columns)

    def _make_good(self, sums, Z, rows, grid, columns):
        """Put exact values in the place of those read at the ends of tables."""
        origin, step, n_nodes = grid
        low, high = origin[:, None], (origin + step * (n_nodes - 1))[:, None]
        Z = Z[torch.as_tensor(rows, device=Z.device)]
        row, sample = ((low > Z) | (high < Z)).nonzero(as_tuple=True)
        for part in chunks(len(row), len(self.moments.count)):
            which, samples = row[part], sample[part]
            z, labels = Z[which, samples], columns.codes[:, samples]
            function = self._function(rows[which.cpu().numpy()], self._exactly, columns)
            ends = torch.minimum(torch.maximum(z, low[which, 0]), high[which, 0])
            at_end, exact = (
                function(values.to(self._exactly.torch_dtype)[:, None, None])[..., 0]
                .gather(1, labels.T)
                .T.to(Z)
                for values in (ends, z)
            )
            sums.replace(rows[which.cpu().numpy()], samples, at_end, exact)

    @property
    def _exactly(self):
        best = "float32" if self.settings.device.type == "mps" else "float64"
        return replace(self.settings, dtype=best)

    def _table(self, rows, columns, grid):
        """What columns read at each node of some slices, (len(rows), K * n_nodes)."""
        origin, step, n_nodes = grid

        def work(begin, end):
            function = self._function(rows[begin:end], self.settings, columns)
            return tabulate(function, origin[begin:end], step[begin:end], n_nodes)

        size = len(rows) * n_nodes * len(self.moments.count)
        return torch.cat(in_threads(work, len(rows), size))

    def _compute(self, sums, columns, Z, rows, _):
        """Read exactly: for narrow classes, or where no whole copy is left out."""
        settings, n_classes = self._exactly, len(self.moments.count)
        for row in rows:
            values = Z.new_empty((len(columns.codes), 1, Z.shape[1]))
            for part in chunks(Z.shape[1], n_classes):
                weight = 1.0 if columns.weight is None else columns.weight[part]
                function = self._function([row], settings, columns, weight)
                table = function(Z[row, part].to(settings.torch_dtype)[None, None])
                values[:, 0, part] = table[0].gather(0, columns.codes[:, part]).to(Z)
            sums.add(np.array([row]), values)


class SliceSums:
    """Sums over a block of slices for each column and sample, on their device."""

    def __init__(self, groups, n_groups, Z, columns):
        n_columns, n_samples = columns.codes.shape
        self._groups = groups
        self._total = Z.new_zeros((n_columns, n_groups, n_samples))
        self._squares = Z.new_zeros((n_columns, n_samples))

    def look_up(self, Z, rows, grid, table, codes):
        """Add what a table says of projections on some slices."""
        origin, step, n_nodes = grid
        offset = codes * n_nodes
        if _kernels.usable(Z.device):
            cells = origin.numpy(), step.numpy(), n_nodes
            sums = self._total.numpy(), self._squares.numpy()
            table, offset = table.numpy(), offset.int().numpy()
            group = self._groups[rows]
            _kernels.look_up(Z.numpy(), rows, cells, table, offset, group, *sums)
            return
        for part in chunks(len(rows), offset.numel()):
            place = Z[torch.as_tensor(rows[part], device=Z.device)]
            place = place.sub_(origin[part, None]).mul_(1 / step[part, None])
            node = place.clamp_(0, n_nodes - 1).to(torch.int64)
            entries = (node + offset[:, None]).movedim(0, 1).flatten(1)
            cells = torch.gather(table[part], 1, entries)
            cells = cells.unflatten(1, offset.shape).movedim(1, 0)
            beyond = place.sub_(node)
            self.add(rows[part], torch.addcmul(cells.real, cells.imag, beyond))

    def add(self, rows, values):
        """Add values (n_columns, len(rows), n_samples); they are overwritten."""
        group = torch.as_tensor(self._groups[rows], device=values.device)
        member = torch.nn.functional.one_hot(group, self._total.shape[1]).to(values).T
        self._total += member @ values
        self._squares += values.square_().sum(1)

    def replace(self, rows, samples, before, after):
        """Add values (n_columns, m) of some samples instead of others added before."""
        group = torch.as_tensor(self._groups[rows], device=samples.device)
        column = torch.arange(len(self._total), device=samples.device)[:, None]
        at = column, group, samples
        self._total.index_put_(at, after - before, accumulate=True)
        change = after.square() - before.square()
        self._squares.index_put_((column, samples), change, accumulate=True)

    def values(self):
        """Sums (n_columns, n_groups, n_samples) and of squares, float64."""
        return self._total.cpu().double().numpy(), self._squares.cpu().double().numpy()
