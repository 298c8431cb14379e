"""Running sums over slices for each sample, where the projections are."""

import torch


class SliceSums:
    """Sums over a block of slices for each sample, where the projections are."""

    def __init__(self, groups, n_groups, like):
        self._groups = groups
        self._total = like.new_zeros((n_groups, like.shape[1]))
        self._squares = like.new_zeros(like.shape[1])

    @property
    def n_groups(self):
        """Groups that are summed apart."""
        return len(self._total)

    def group_of(self, rows):
        """Group of some slices, where the sums are."""
        return torch.as_tensor(self._groups[rows], device=self._total.device)

    def count(self, total, squares):
        """Count in sums over some slices, of `n_groups` groups at least."""
        self._total += total[: self.n_groups]
        self._squares += squares

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
