"""The rooms of the package and the arrows between them; each rule is seen to break."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import smilearn

PACKAGE = Path(smilearn.__file__).parent
TESTS = Path(__file__).parent
MOST_LINES = 600

# modules beside the rooms
ROOT = {"_issue_manager", "datalab", "datasets", "exceptions", "metrics"}
ARROWS = {
    "cli": "report tables embedding finetuning filtering scoring audit baselines utils",
    "report": "tables utils",
    "audit": "filtering baselines scoring tables utils",
    "baselines": "scoring tables utils",
    "finetuning": "embedding filtering scoring tables utils",
    "filtering": "scoring tables utils",
    "scoring": "tables utils",
    "embedding": "datasets utils",  # for the packaged model
    "tables": "utils",
    "utils": "",
    # beside the rooms
    "_issue_manager": "scoring",
    "datalab": "_issue_manager utils",
    "datasets": "utils",
    "metrics": "utils",
    "exceptions": "",
}
FOR_ALL = {"exceptions", "metrics"}
FOR_CLI = {"datasets"}
# against the arrows, inside a function: the method that writes a table as a report
LATE = {"tables/_risk_table imports report._report.write_report"}
PRINTING = {"print": set(), ".print": {"cli/_terminal.py"}}


def modules_of(folder):
    return {
        path.relative_to(folder).with_suffix("").as_posix(): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for path in sorted(folder.rglob("*.py"))
    }


def imports_of(tree):
    """Parts of the package that a file imports, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            names = [f"{module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Call) and "import" in called_name(node):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        else:
            continue
        for name in map(str, names):
            if name.startswith((".", "smilearn.")) or name == "smilearn":
                yield name.removeprefix("smilearn.")


def called_name(call):
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def arrow_breaches(folder, arrows):
    breaches = []
    for name, tree in modules_of(folder).items():
        room = name.partition("/")[0]
        if room in ("__init__", "__main__"):
            continue  # the roof, which loads everything lazily
        allowed = {room, *FOR_ALL, *arrows.get(room, "").split()}
        allowed |= FOR_CLI if room == "cli" else set()
        allowed = set() if room == "exceptions" else allowed
        for imported in sorted(set(imports_of(tree))):
            if imported.partition(".")[0] not in allowed:
                breaches.append(f"{name} imports {imported}")
    return breaches


def circle_within(folder, room):
    """Modules of a room that import each other in a circle; [] without one."""
    trees = modules_of(folder / room)
    graph = {}
    for name, tree in trees.items():
        parts = (imported.split(".") for imported in imports_of(tree))
        own = {part[1] for part in parts if part[0] == room and len(part) > 1}
        graph[name] = own & set(trees) - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return []


def long_files(folder):
    lengths = {
        path.relative_to(folder).as_posix(): len(path.read_text("utf-8").splitlines())
        for path in folder.rglob("*.py")
    }
    return {name: length for name, length in lengths.items() if length > MOST_LINES}


def banned_statements(folder):
    """Assert statements, and calls of print where it has no place."""
    breaches = []
    for path in sorted(folder.rglob("*.py")):
        file = path.relative_to(folder).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assert):
                breaches.append(f"{file}:{node.lineno}: assert")
            if isinstance(node, ast.Call) and called_name(node) == "print":
                name = "print" if isinstance(node.func, ast.Name) else ".print"
                if file not in PRINTING[name]:
                    breaches.append(f"{file}:{node.lineno}: {name}")
    return breaches


def test_every_room_has_its_arrows():
    rooms = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert rooms | modules == set(ARROWS)
    assert modules == ROOT


def test_data_flows_one_way():
    assert set(arrow_breaches(PACKAGE, ARROWS)) == LATE
    for breach in LATE:
        name, _, imported = breach.partition(" imports ")
        at_top = ast.Module(modules_of(PACKAGE)[name].body, [])
        at_top.body = [
            n for n in at_top.body if isinstance(n, (ast.Import, ast.ImportFrom))
        ]
        assert imported not in set(imports_of(at_top))


@pytest.mark.parametrize("room", sorted(set(ARROWS) - ROOT))
def test_no_circle_inside_a_room(room):
    assert circle_within(PACKAGE, room) == []


def test_tests_mirror_the_rooms():
    rooms = {path.name for path in TESTS.iterdir() if any(path.glob("test_*.py"))}
    assert rooms == set(ARROWS) - ROOT | {"chaos"}


@pytest.mark.parametrize("folder", [PACKAGE, TESTS], ids=["smilearn", "tests"])
def test_no_file_is_long(folder):
    assert long_files(folder) == {}


def test_no_assert_and_no_print():
    assert banned_statements(PACKAGE) == []


@pytest.mark.parametrize(
    "source",
    [
        "from smilearn.upper import thing",
        "from smilearn.upper._part import thing",
        "import smilearn.upper",
        "from smilearn import upper",
        "def late():\n    from smilearn.upper import thing",
        "from importlib import import_module\nimport_module('smilearn.upper')",
        "from smilearn import Scorer",  # goes through the roof
        "from .upper import thing",
    ],
)
def test_a_wrong_arrow_is_seen(tmp_path, source):
    arrows = {"lower": "", "middle": "lower", "upper": "middle"}
    (tmp_path / "middle").mkdir()
    (tmp_path / "middle" / "_part.py").write_text(source)
    assert len(arrow_breaches(tmp_path, arrows)) == 1
    good = (
        "import numpy\nfrom smilearn.lower._x import x\nfrom smilearn.middle import y"
    )
    (tmp_path / "middle" / "_part.py").write_text(good)
    assert arrow_breaches(tmp_path, arrows) == []


def test_a_circle_is_seen(tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "_a.py").write_text("from smilearn.room._b import b")
    (tmp_path / "room" / "_b.py").write_text("from smilearn.lower._a import a")
    assert circle_within(tmp_path, "room") == []
    (tmp_path / "room" / "_b.py").write_text("from smilearn.room import _a")
    assert set(circle_within(tmp_path, "room")) == {"_a", "_b"}


def test_a_long_file_is_seen(tmp_path):
    (tmp_path / "long.py").write_text("\n" * (MOST_LINES + 1))
    (tmp_path / "fits.py").write_text("\n" * MOST_LINES)
    assert long_files(tmp_path) == {"long.py": MOST_LINES + 1}


def test_banned_statements_are_seen(tmp_path):
    (tmp_path / "cli").mkdir()
    (tmp_path / "module.py").write_text("def f(x):\n    assert x\n    print(x)")
    (tmp_path / "cli" / "_table.py").write_text("Console().print(2)")
    (tmp_path / "cli" / "_terminal.py").write_text("Console().print('hello')")
    found = ["cli/_table.py:1: .print", "module.py:2: assert", "module.py:3: print"]
    assert banned_statements(tmp_path) == found
