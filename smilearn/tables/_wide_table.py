"""Measures with intervals, kept a row each and shown side by side."""

import html

import numpy as np

from smilearn.tables._column_table import ColumnTable


class WideTable(ColumnTable):
    """One row a measure; shown with one column for each value of `_across`."""

    _down, _across, _marks = (), "", {}  # _marks: verdict -> sign and its meaning

    def __init__(self, columns, reference, over):
        super().__init__(columns)
        self.reference, self.over = reference, over

    def __repr__(self):
        return f"{self._wide()!r}\n{self._legend()}"

    def _repr_html_(self):
        table = self._wide()._repr_html_().partition("<p>")[0]
        return f"{table}<p>{html.escape(self._legend())}</p>"

    def _wide(self):
        found = {}
        for row in range(len(self)):
            value, low, high = (self[name][row] for name in ("value", "low", "high"))
            mark = self._mark(row) if self.reference else ""
            line = found.setdefault(tuple(self[name][row] for name in self._down), {})
            cell = f"{value:.3f} [{low:.3f}, {high:.3f}]{mark}"
            line[self[self._across][row]] = cell
        wide = {
            name: np.array([line[place] for line in found])
            for place, name in enumerate(self._down)
        }
        for name in dict.fromkeys(self[self._across].tolist()):
            wide[name] = np.array([cells.get(name, "") for cells in found.values()])
        return _WholeTable(wide)

    def _mark(self, row):
        verdict = self["verdict"][row]
        return f" {self._marks[verdict][0]}" if verdict in self._marks else ""

    def _legend(self):
        legend = f"[95 % interval over {self.over}]"
        if self.reference is None:
            return legend
        marks = ", ".join(f"{sign} {meaning}" for sign, meaning in self._marks.values())
        return f"{legend}; {marks} {self.reference}, 0 excluded"


class _WholeTable(ColumnTable):
    def _cells(self, shown=None):
        return super()._cells(len(self))
