"""A risk table as a page that opens anywhere, offline."""

from pathlib import Path

import jinja2

from smilearn.utils._files import replacing

__all__ = ["write_report"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title><style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em;
       padding: 0 1em; color: #222; }
table { border-collapse: collapse; margin: 1em 0; }
td, th { padding: .25em .8em; border-bottom: 1px solid #ddd; text-align: left;
         vertical-align: top; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
svg { background: #fafafa; border: 1px solid #ddd; }
.note { color: #666; }
</style></head><body>
<h1>{{ title }}</h1>
{% for line in facts %}<p>{{ line }}</p>{% endfor %}
{% if curve %}
<h2>Median training loss</h2>
<svg viewBox="-55 -15 620 250" width="620" role="img" aria-label="median loss">
<polyline fill="none" stroke="#1f5fa8" stroke-width="2" points="
{%- for p in curve.points %}{{ p.x }},{{ p.y }} {% endfor %}"/>
{% for p in curve.points %}<circle cx="{{ p.x }}" cy="{{ p.y }}" r="3" fill="#1f5fa8">
<title>epoch {{ p.epoch }}: {{ p.loss }} nats</title></circle>
<text x="{{ p.x }}" y="{{ p.y - 8 }}" font-size="11" text-anchor="middle">
{{ p.loss }}</text>{% endfor %}
<line x1="0" x2="540" y1="{{ curve.threshold }}" y2="{{ curve.threshold }}"
 stroke="#b5482f" stroke-dasharray="5 4"/>
<text x="540" y="{{ curve.threshold - 5 }}" font-size="11" fill="#b5482f"
 text-anchor="end">early point</text>
<text x="270" y="228" font-size="12" text-anchor="middle">epoch, 0 to
{{ curve.last_epoch }}</text></svg>
{% endif %}
{% for block in tables %}{% set numbers = block.numbers or range(1, 99) %}
<h2>{{ block.title }}</h2>
<table><thead><tr>{% for name in block.header -%}
<th{% if loop.index0 in numbers %} class="number"{% endif %}>{{ name }}</th>{% endfor %}
</tr></thead><tbody>
{% for row in block.rows %}<tr>{% for cell in row -%}
<td{% if loop.index0 in numbers %} class="number"{% endif %}>{{ cell }}</td>
{%- endfor %}</tr>{% endfor %}</tbody></table>{% endfor %}
<p class="note">Risk is in nats, high = at risk of being memorized; probability is that
of the label by all other samples. Written by smilearn.</p>
</body></html>
"""


def write_report(table, path, *, title, facts=(), tables=(), embedder=None, n_rows=50):
    """Write a self-contained HTML page about a risk table.

    Parameters
    ----------
    table : RiskTable
        The scores.

    path : path-like
        Where to; the file appears whole or not at all.

    title : str
        Heading of the page.

    facts : sequence of str, default=()
        Lines to open with.

    tables : sequence of dict, default=()
        More tables: `title`, `header` and `rows`.

    embedder : FineTunedEmbedder, default=None
        Draws the fall of its median training loss.

    n_rows : int, default=50
        Riskiest samples shown.

    Returns
    -------
    path : Path
        Where the page is.

    Examples
    --------
    >>> import tempfile
    >>> from smilearn import RiskTable
    >>> from smilearn.report import write_report
    >>> table = RiskTable([-0.2, -1.5], ["ham", "spam"], text=["hello", "buy now"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = write_report(table, f"{folder}/report.html", title="Mails")
    ...     "buy now" in page.read_text()
    True
    """
    top = table.riskiest(n_rows)
    last = "text" if "text" in top.columns else "id"
    likelier = "most_likely_label" if "most_likely_label" in top.columns else None
    numbers = [name for name in ("risk", "probability") if name in top.columns]
    cells = [top["rank"], *(map("{:.3f}".format, top[name]) for name in numbers)]
    cells += [top["label"], top[likelier] if likelier else [""] * len(top), top[last]]
    riskiest = {
        "title": "The riskiest samples",
        "header": ["rank", *numbers, "label", "likelier", last],
        "rows": zip(*cells, strict=True),
        "numbers": range(1 + len(numbers)),
    }
    page = jinja2.Environment(autoescape=True).from_string(_PAGE)
    text = page.render(
        title=title,
        facts=facts,
        tables=[*tables, riskiest],
        curve=None if embedder is None else _curve(embedder),
    )
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def _curve(embedder, width=540, height=200):
    """Coordinates of the median loss over the epochs, and of the early point."""
    history = embedder.history_
    last = max(entry["epoch"] for entry in history) or 1
    top = max(entry["median_loss"] for entry in history) or 1

    def level(loss):
        return round(height * (1 - loss / top), 1)

    points = [
        {
            "x": round(entry["epoch"] / last * width, 1),
            "y": level(entry["median_loss"]),
            "epoch": round(entry["epoch"], 2),
            "loss": f"{entry['median_loss']:.3f}",
        }
        for entry in history
    ]
    threshold = level(embedder.early_point_loss_)
    return {"points": points, "last_epoch": round(last, 2), "threshold": threshold}
