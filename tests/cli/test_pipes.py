"""The command line in a shell: pipes, exit codes, completion, what it loads."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import command_line
import numpy as np
import pytest
from command_line import LABELS, TEXTS, run, succeed
from table_files import read_columns, write_columns
from typer.testing import CliRunner

from smilearn import RiskTable
from smilearn.cli import _score
from smilearn.cli._app import app

folder, data = command_line.folder, command_line.data
OPTIONS = ["--label", "label", "--embeddings", "X.npy", "--n-slices", "16"]
HEAVY = {"torch", "transformers", "sentence_transformers", "numpy", "scipy", "sklearn"}
HEAVY |= {"pandas", "polars", "pyarrow", "numba", "matplotlib", "datasets"}
COMMAND = "import sys; sys.argv[0] = 'smilearn'; from smilearn.__main__ import main; "
COMMAND += "main()"


@pytest.fixture
def embeddings(data):
    np.save("X.npy", np.random.default_rng(0).normal(size=(20, 3)))


def environment(**more):
    own = {
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(Path(_score.__file__).parents[1]),
    }
    own = {**os.environ, **own, **more}
    for name in ("TQDM_DISABLE", "PYTHONUNBUFFERED"):
        own.pop(name, None)
    return own


def shell(*arguments, code=COMMAND, **options):
    more = options.pop("env", {})
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=environment(**more),
        **options,
    )


def as_text(kind):
    """The data as they come through a pipe."""
    if kind == "jsonl":
        rows = zip(TEXTS, LABELS, strict=True)
        return "".join(json.dumps({"text": t, "label": y}) + "\n" for t, y in rows)
    return Path("data.csv").read_text()


def pipe(text, *arguments):
    done = CliRunner().invoke(app, [*map(str, arguments)], input=text)
    assert done.exit_code == 0, (done.stderr, done.exception)
    return done


@pytest.mark.parametrize("out", [[], ["--out", "-"]], ids=["none", "dash"])
@pytest.mark.parametrize("source", [["-"], ["--stdin"]], ids=["dash", "stdin"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_pipe_gets_what_a_file_gets(embeddings, kind, source, out):
    succeed("score", "data.csv", *OPTIONS, "--text", "text", "--out", f"r.{kind}")
    more = ["--text", "text", *out] + ["--format", "csv"] * (kind == "csv")
    done = pipe(as_text(kind), "score", *source, *OPTIONS, *more)
    assert done.stdout_bytes == Path(f"r.{kind}").read_bytes()
    assert done.stderr.startswith("standard output: 20 samples, ")
    quiet = pipe(as_text(kind), "score", *source, *OPTIONS, *more, "--quiet")
    assert (quiet.stdout, quiet.stderr) == (done.stdout, "")


def test_a_file_goes_to_standard_output_in_its_format(embeddings):
    done = succeed("score", "data.csv", *OPTIONS)
    assert next(csv.reader(io.StringIO(done.stdout)))[0] == "id"
    done = succeed("score", "data.csv", *OPTIONS, "--format", "jsonl")
    assert json.loads(done.stdout.splitlines()[0])["id"] == 0
    write_columns({"label": LABELS}, "data.parquet")
    done = succeed("score", "data.parquet", *OPTIONS)
    assert json.loads(done.stdout.splitlines()[0])["label"] == "neg"


def test_ids_of_the_user_are_kept_and_filter_finds_them(embeddings):
    keys = [f"0{i}" for i in range(20)]
    write_columns({"key": keys, "label": LABELS}, "keyed.csv")
    succeed("score", "keyed.csv", *OPTIONS, "--id", "key", "--out", "r.csv")
    table = RiskTable.read("r.csv")
    assert table["id"].tolist() == keys
    shuffled = [keys[i] for i in np.random.default_rng(1).permutation(20)]
    label_of = dict(zip(keys, LABELS, strict=True))
    write_columns({"key": shuffled, "y": [label_of[k] for k in shuffled]}, "other.csv")
    options = ["--risk", "r.csv", "--id", "key", "--n-remove", "3"]
    done = succeed("filter", "other.csv", *options, "--out", "k.csv", "--json")
    riskiest = set(table.riskiest(3)["id"])
    assert {shuffled[i] for i in json.loads(done.stdout)["removed"]} == riskiest
    assert read_columns("k.csv")["key"] == [k for k in shuffled if k not in riskiest]


def test_quiet_says_nothing(embeddings):
    for command in (
        ["score", "data.csv", *OPTIONS, "--out", "r.csv"],
        ["filter", "data.csv", "--risk", "r.csv", "--out", "k.csv", "--n-remove", 20],
        ["table", "r.csv", "--out", "t.csv"],
    ):
        done = succeed(*command, "--quiet")
        assert (done.stdout, done.stderr) == ("", "")
    done = run("filter", "data.csv", "--risk", "none.csv", "--out", "k", "--quiet")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("smilearn: k: files must end in")


def test_a_bug_has_its_traceback_and_exit_code_1(data):
    code = "from smilearn import _cli_table\n"
    code += "_cli_table.TableJob.run = lambda self: 1 / 0\n" + COMMAND
    done = shell("table", "data.csv", code=code)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Traceback")
    assert "ZeroDivisionError" in done.stderr


def test_nobody_reading_ends_quietly(data):
    n_rows = 50_000
    table = RiskTable(np.arange(n_rows), ["x"] * n_rows)
    table.to_jsonl("risk.jsonl")
    for more in ([], ["--json"]):
        process = subprocess.Popen(
            [sys.executable, "-m", "smilearn", "table", "risk.jsonl", *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        )
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 141


def test_ctrl_c_ends_with_130(data):
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "score", "-", *OPTIONS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    process.stdin.write('{"label": "a"}\n')
    process.stdin.flush()
    time.sleep(5)  # it waits for more of the data by then, or is still loading
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_help_names_commands_and_exit_codes():
    done = shell("--help")
    assert (done.returncode, done.stderr) == (0, "")
    for command in ("score", "filter", "table", "demo"):
        assert f" {command} " in done.stdout
    assert "Exit codes: 0 done; 2 " in done.stdout


def test_bash_completes_commands_and_options():
    done = shell(env={"_SMILEARN_COMPLETE": "source_bash"})
    assert "complete -o default -F _smilearn_completion smilearn" in done.stdout
    words = {"COMP_WORDS": "smilearn filter --sh", "COMP_CWORD": "2"}
    done = shell(env={"_SMILEARN_COMPLETE": "complete_bash", **words})
    assert done.stdout.split() == ["--share"]
    words = {"COMP_WORDS": "smilearn ta", "COMP_CWORD": "1"}
    done = shell(env={"_SMILEARN_COMPLETE": "complete_bash", **words})
    assert done.stdout.split() == ["table"]


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["table", "-"]])
def test_help_and_usage_load_nothing_heavy(arguments):
    code = "import atexit, sys\natexit.register(lambda: sys.stderr.write("
    code += "'|'.join(sorted({name.partition('.')[0] for name in sys.modules}))))\n"
    done = shell(*arguments, code=code + COMMAND)
    loaded = set(done.stderr.split("|"))
    assert "typer" in loaded
    assert (loaded & HEAVY == set()) == ("--help" in arguments)  # table - is no help


@pytest.mark.parametrize(
    "moment", [pytest.param("before", marks=pytest.mark.slow), "early"]
)
def test_a_pipe_gets_no_progress_bars(data, tiny_encoder, moment):
    options = ["--label", "label", "--text", "text", "--model", tiny_encoder, "--json"]
    options += ["--moment", moment, "--max-epochs", "1"]
    done = shell("score", data, "--out", "risk.csv", *options)
    assert done.returncode == 0
    assert json.loads(done.stdout)["n_samples"] == 20
    lines = done.stderr.splitlines()
    assert len(lines) == (moment == "early")
    assert all(line.startswith("smilearn: warning: max_epochs=1") for line in lines)
