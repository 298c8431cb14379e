"""Pictures of a risk table: what they hold, not how they look."""

import matplotlib as mpl
import numpy as np
import pytest
from risk_tables import made_table

from smilearn import RiskTable
from smilearn.exceptions import InvalidInputError

mpl.use("Agg")


def test_pictures_hold_the_samples():
    table = made_table(label=(["ham"] * 10 + [r"$x^2$\1"] * 30))
    bars = table.plot()
    assert sum(bar.get_height() for bar in bars.patches) == 40
    line = table.plot("rank").lines[0]
    assert line.get_ydata().tolist() == table.riskiest()["risk"].tolist()
    boxes = table.plot("by_class")
    names = [text.get_text() for text in boxes.get_yticklabels()]
    by_class = table.by_class()["group"].tolist()
    assert names == [
        {"ham": "ham (10)"}.get(name, r"\$x^2\$\1 (30)") for name in by_class
    ]
    boxes.figure.canvas.draw()  # a formula that cannot be read would raise
    assert table.plot(ax=boxes) is boxes
    mpl.pyplot.close("all")


def test_pictures_leave_out_infinite_risk_and_say_so():
    ax = RiskTable([-np.inf, 0.5, 0.7], ["a", "b", "b"]).plot()
    assert ax.get_title() == "3 samples, 1 of infinite risk left out"
    mpl.pyplot.close("all")
    for table in (RiskTable([-np.inf], ["a"]), RiskTable([], [])):
        with pytest.raises(InvalidInputError, match="no sample with a finite risk"):
            table.plot()
    with pytest.raises(
        InvalidInputError, match="kind must be one of 'hist', 'by_class'"
    ):
        made_table().plot("pie")
