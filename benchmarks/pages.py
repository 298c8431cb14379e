"""Where benchmarks find their data and keep what they measure."""

import json
import os
from pathlib import Path

HERE = Path(__file__).parent
DATA = Path(os.environ.get("SMILEARN_DATA", HERE.parent.parent / "shared" / "data"))


def keep(name, results):
    """Write results, JSON, to benchmarks/results/<name>.json."""
    path = HERE / "results" / f"{name}.json"
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def put(page, mark, text):
    """Put text into docs/<page>.md, between ``<!-- mark -->`` and its end."""
    path = HERE.parent / "docs" / f"{page}.md"
    begin, end = f"<!-- {mark} -->\n", f"<!-- end of {mark} -->"
    head, rest = path.read_text(encoding="utf-8").split(begin)
    tail = rest.split(end)[1]
    path.write_text(f"{head}{begin}{text.rstrip()}\n{end}{tail}", encoding="utf-8")


def row(cells):
    """A row of a table in Markdown."""
    return f"| {' | '.join(map(str, cells))} |"


def table(header, rows):
    """A table in Markdown."""
    return "\n".join([row(header), "|---" * len(header) + "|", *map(row, rows)]) + "\n"
