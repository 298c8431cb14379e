"""Golden files: results that a change of the code inside smilearn must not move.

``SMILEARN_REMAKE_GOLDEN=1 python -m pytest tests/test_golden_*.py`` writes the files in
``tests/golden/`` instead of comparing with them (in one process). Remake them only for
a change of results that is wanted, and look at what differs in git.
"""

import json
import math
import os
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "golden"
REMAKE = os.environ.get("SMILEARN_REMAKE_GOLDEN") == "1"


def check_golden(file, key, result, tolerance=1e-10):
    """Compare a result of numbers, strings, dicts and lists with the one on file."""
    path, result = FOLDER / f"{file}.json", plain(result)
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if REMAKE:
        results[key] = result
        FOLDER.mkdir(exist_ok=True)
        lines = [f"{json.dumps(k)}: {json.dumps(results[k])}" for k in sorted(results)]
        path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        return
    assert key in results, f"{path.name} has no {key!r}; see tests/golden_files.py"
    wrong = list(differences(results[key], result, tolerance))
    assert not wrong, f"{path.name}, {key}: {len(wrong)} differ\n" + "\n".join(
        wrong[:20]
    )


def differences(golden, result, tolerance, place=""):
    """Yield a line for each place where a result is not the golden one."""
    if isinstance(golden, dict) and isinstance(result, dict):
        for name in [*golden, *(name for name in result if name not in golden)]:
            if name not in result:
                yield f"{place}/{name}: is gone (was {golden[name]})"
            elif name not in golden:
                yield f"{place}/{name}: is new ({result[name]})"
            else:
                inside = f"{place}/{name}"
                yield from differences(golden[name], result[name], tolerance, inside)
    elif isinstance(golden, list) and isinstance(result, list):
        if len(golden) != len(result):
            yield f"{place}: {len(golden)} values were expected, got {len(result)}"
        for i, pair in enumerate(zip(golden, result, strict=False)):
            yield from differences(*pair, tolerance, f"{place}/{i}")
    elif type(golden) is type(result) is float:
        same = golden == result or (math.isnan(golden) and math.isnan(result))
        if not same and not abs(result - golden) <= tolerance * (1 + abs(golden)):
            yield f"{place}: {golden} was expected, got {result}"
    elif type(golden) is not type(result) or golden != result:
        yield f"{place}: {golden!r} was expected, got {result!r}"


def plain(value):
    """Turn arrays and scalars into what JSON holds; floats to 12 digits."""
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return float(f"{value:.12g}")
    return value


def sample(values, step=7):
    """Every 7th value or row, and the sum of all, so that none can move unseen."""
    values = np.asarray(values, np.float64)
    return {"some": values[::step], "sum": values.sum()}


def columns_of(table):
    """Columns of a table or frame as lists."""
    return {name: np.asarray(table[name]).tolist() for name in table.columns}


def fitted(estimator):
    """Names of the fitted attributes of an estimator."""
    return sorted(
        name for name in vars(estimator) if name.endswith("_") and name[0] != "_"
    )


def made_samples(n_samples=120, seed=7):
    """Three unbalanced classes of 12 features, wrong labels, far and equal samples."""
    rng = np.random.default_rng(seed)
    sizes = [n_samples * 6 // 10, n_samples * 3 // 10]
    codes = rng.permutation(np.repeat([0, 1, 2], [*sizes, n_samples - sum(sizes)]))
    X = rng.normal(size=(n_samples, 12)) * np.linspace(0.3, 2, 12) + 3.0
    X += np.eye(12)[codes * 3] * 1.5 + np.eye(12)[codes * 3 + 1]
    X[[7, 28]] *= 15.0
    X[21] = X[22]
    codes[::14] = (codes[::14] + 1) % 3
    return X, np.array(["ham", "spam", "eggs"])[codes]
