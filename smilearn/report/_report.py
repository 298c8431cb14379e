"""A risk table as one file: a page that opens anywhere, Markdown, or JSON."""

import base64
import hashlib
import json
import math
import re
import shlex
from importlib.metadata import version
from pathlib import Path

import jinja2
from markupsafe import Markup

from smilearn.exceptions import InvalidInputError
from smilearn.report._commands import filter_command
from smilearn.report._summary import as_script, audited, shortened, summarize
from smilearn.utils._files import replacing

__all__ = ["write_report"]

_TITLE = "Which samples are at risk of being memorized?"
_KINDS = {".html": "html", ".md": "md", ".json": "json"}
_INFINITE = 1e299  # beyond it a risk is infinite, as in page.js
_N_STATIC = 50  # rows that are there without JavaScript


def write_report(
    table,
    path,
    *,
    title=None,
    facts=None,
    warnings=(),
    files=None,
    embedder=None,
    columns=None,
    embeddings=None,
    audit=None,
    evidence=None,
    n_rows=None,
    texts=True,
):
    """Write a report of a risk table: HTML that needs no network, Markdown or JSON.

    Parameters
    ----------
    table : RiskTable
        The scores.

    path : path-like
        Where to, ending in .html, .md or .json; the file appears whole or not at all.

    title : str, default=None
        Heading; None asks which samples are at risk.

    facts : dict, default=None
        Names and values to open with, such as the model and the date.

    warnings : sequence of str, default=()
        Sentences to show beside those that follow from the table.

    files : dict of str to str, default=None
        Names that `smilearn filter` is to be called with: `data`, `risk`, and the
        columns `id` and `label`.

    embedder : FineTunedEmbedder, default=None
        Draws the fall of its median training loss.

    columns : frame or dict, default=None
        More columns to show, one row a sample, in the order of the table.

    embeddings : array-like of shape (n_samples, n_features), default=None
        Finds the nearest texts of the given and of the likelier class, by cosine.

    audit : table or frame, default=None
        What a `ShadowAudit` found, with `id` and `lira`: how well the risk agrees.

    evidence : dict of str to table, default=None
        More tables of what was checked, such as a `ScorerComparison`, by their titles.

    n_rows : int, default=None
        Samples to list, 1 or more; None lists 2,000, and 10 in Markdown.

    texts : bool, default=True
        Whether to show texts, which may be private.

    Returns
    -------
    path : Path
        Where the report is.

    Raises
    ------
    InvalidInputError
        If the table is empty, the suffix is another one, rows do not match, or ids are
        there twice.

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
    kind = report_kind(path)
    if n_rows is not None and n_rows < 1:
        raise InvalidInputError(f"n_rows must be 1 or more; got {n_rows}.")
    n_listed = n_rows or (10 if kind == "md" else 2000)
    # the last quarter is of classes: a short list is cut from a longer one
    n_rows = max(2 * n_listed, 2000) if kind == "md" else n_listed
    options = {"columns": columns, "embeddings": embeddings, "texts": texts}
    data = summarize(table, n_rows=n_rows, **options)
    data["title"] = title or _TITLE
    data["facts"] = {str(k): str(v) for k, v in (facts or {}).items() if v}
    data["warnings"] += map(str, warnings)
    data["sentences"] = _sentences(data)
    data["curve"] = None if embedder is None else _curve(embedder)
    data["audit"] = None if audit is None else audited(table, audit)
    data["evidence"] = [_shown(k, t) for k, t in (evidence or {}).items()]
    data["command"] = _command(files or {})
    data["version"] = version("smilearn")
    text = {"html": _page, "md": _markdown, "json": _json}[kind](data, n_listed)
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def report_kind(path):
    """Format of a report by the suffix of its file."""
    suffix = Path(path).suffix.lower()
    if suffix not in _KINDS:
        raise InvalidInputError(
            f"{path}: reports must end in .html, .md or .json; got {suffix!r}."
        )
    return _KINDS[suffix]


def _sentences(data):
    """What the risk means, what stands out, and what to do next."""
    n, out = data["n_samples"], data["stand_out"]
    has_likelier = data["confusions"] is not None
    if "probability" in data["rows"]:
        meaning = (
            "The probability of each label is predicted from all other samples: where "
            "it is low, and the risk therefore high, a model can fit the label only by "
            "learning it by heart."
        )
        rule = f"with a probability below {100 * out['least']:.0f} %"
        rule += ", where another label is likelier" * has_likelier
    else:
        meaning = (
            "The risk of a sample is high where the other samples do not predict its "
            "label: a model can fit such a label only by learning it by heart."
        )
        rule = "with a risk far above that of most"
    if out["n"]:
        found = f"{out['n']:,} of {n:,} samples stand{'s' * (out['n'] == 1)} out {rule}"
    else:
        found = f"None of the {n:,} samples stands out {rule}"
    if out["n"] and out["expected"] is not None:
        about = f"{out['expected']:,.0f} of these"
        found += f"; the other samples would give about {about} another label"
    todo = (
        "Read the riskiest samples, mark what to keep, relabel, drop or protect, and "
        "pass the marks to smilearn filter; or choose a share to remove."
    )
    found += ". This does not count wrong labels: there may be more, or fewer."
    return [meaning, found, todo]


def _curve(embedder):
    """Median loss over the epochs, and the loss of the early point."""
    return {
        "epochs": [round(entry["epoch"], 3) for entry in embedder.history_],
        "losses": [round(entry["median_loss"], 4) for entry in embedder.history_],
        "early": round(float(embedder.early_point_loss_), 4),
        "reached": bool(embedder.early_point_reached_),
    }


def _shown(title, table):
    """A table as it is printed: header, rows of strings, note."""
    frame, note = table._printed()
    rows = [
        [f"{v:.3f}" if isinstance(v, float) else str(v) for v in row]
        for row in frame.iter_rows()
    ]
    return {"title": title, "header": frame.columns, "rows": rows, "note": note}


def _command(files):
    """The filter command up to what goes, and what stands behind it."""
    start, end = filter_command(files)
    label = shlex.join(["--label", str(files.get("label") or "label")])
    return {"start": start, "label": label, "end": end}


def _environment():
    folder = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=folder,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["nats"] = _nats
    return environment


def _page(data, n_listed):
    """The page, with style, script and data in it."""
    parts = {
        name: (Path(__file__).parent / f"page.{name}").read_text(encoding="utf-8")
        for name in ("css", "js")
    }
    hashes = {
        name: base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()
        for name, part in parts.items()
    }
    return (
        _environment()
        .get_template("page.html")
        .render(
            data,
            **{name: Markup(part) for name, part in parts.items()},
            hashes=hashes,
            content=Markup(as_script(data)),
            static=_rows(data, min(n_listed, _N_STATIC)),
        )
    )


def _rows(data, n):
    """The first rows, riskiest first, as one dict each."""
    rows, names = data["rows"], data["classes"]
    n = min(n, len(rows["id"]))
    order = [
        {key: values[i] for key, values in rows.items() if key != "own"}
        for i in range(n)
    ]
    for row in order:
        row["id"] = shortened(row["id"])
        row["label"] = shortened(names[row["label"]])
        if "likely" in row:
            row["likely"] = shortened(names[row["likely"]])
        row["percentile"] = percentile(row["order"], data["n_samples"])
    return order


def _nats(risk):
    """A risk with two digits after the point."""
    return f"{risk if abs(risk) < _INFINITE else math.copysign(math.inf, risk):.2f}"


def percentile(order, n_samples):
    """Share of the samples that are less risky, in percent, never rounded up."""
    return f"{int((n_samples - order) / n_samples * 1000) / 10:.1f}"


def _markdown(data, n_listed):
    """The same in Markdown, for pull requests and model cards."""
    environment = _environment()
    environment.autoescape = False
    environment.filters["cell"] = _cell
    template = environment.get_template("page.md")
    return template.render(data, static=_rows(data, n_listed))


def _cell(value):
    """Text in one line that is no markup in Markdown."""
    line = " ".join(str(value).split()).replace("&", "&amp;").replace("<", "&lt;")
    line = re.sub(r"([\\`*_{}\[\]()#+!|~>@:])", r"\\\1", line)
    return line if len(line) <= 240 else f"{line[:239].rstrip(chr(92))}…"


def _json(data, n_listed):
    return json.dumps(data, ensure_ascii=False, indent=1) + "\n"
