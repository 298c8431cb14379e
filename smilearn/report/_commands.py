"""The commands that a report and a summary offer to copy."""

import shlex
from pathlib import Path


def filter_command(files):
    """The filter command up to what goes, and where it writes to.

    files: paths of `data` and `risk`, columns `id` and `label`, and `delimiter`.
    """
    data = Path(str(files.get("data") or "DATA.csv"))
    words = ["smilearn", "filter", str(data)]
    words += ["--risk", str(files.get("risk") or "risk.csv")]
    if files.get("id"):
        words += ["--id", str(files["id"])]
    if files.get("delimiter", ",") != ",":
        words += ["--delimiter", files["delimiter"]]
    name = "kept" if data.stem != "kept" else "kept-2"
    return shlex.join(words), f"--out {name}{data.suffix}"
