"""The rules of the house, each with a breach that shows the rule can be broken."""

import ast
import re
from pathlib import Path

import pytest
from floors import FLOORS

import smilearn

PACKAGE = Path(smilearn.__file__).parent
TESTS = Path(__file__).parent
MOST_LINES = 600

GROUND = {"exceptions"}  # imports nothing of ours; every other module may import it
MAY_PRINT = {"print": {"cli.py"}, ".print": {"cli.py", "_screen.py"}}  # rich's too
MAY_NOT_STATE_FLOOR = {"__init__", "__main__"}


def module_names(folder):
    paths = (path.relative_to(folder) for path in folder.rglob("*.py"))
    return {path.with_suffix("").as_posix() for path in paths}


def own_imports(tree, floors):
    """Modules of smilearn that a file imports, at its top or inside a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            names = ["smilearn.<relative>"]
        elif isinstance(node, ast.ImportFrom) and node.module == "smilearn":
            names = [f"smilearn.{alias.name}" for alias in node.names]
            names = [name if name[9:] in floors else "smilearn" for name in names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        elif isinstance(node, ast.Call) and "import" in called_name(node):
            names = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
        else:
            continue
        for package, _, module in (str(name).partition(".") for name in names):
            if package == "smilearn":
                yield module or "__init__"


def called_name(call):
    return getattr(call.func, "id", getattr(call.func, "attr", ""))


def floor_breaches(folder, floors):
    breaches = []
    for name in sorted(module_names(folder) & set(floors)):
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
        breaches += [
            f"{name} (floor {floors[name]}) imports {other} ({floors.get(other)})"
            for other in sorted(set(own_imports(tree, floors)))
            if not (other in GROUND and name not in GROUND)
            and not floors.get(other, 99) < floors[name]
        ]
    return breaches


def misstated_floors(folder, floors):
    breaches = []
    for name in sorted(module_names(folder) & set(floors)):
        tree = ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))
        first_line = (ast.get_docstring(tree) or "").partition("\n")[0]
        stated = re.search(r"\(floor (\d+)\)\.$", first_line)
        if stated is None and name in MAY_NOT_STATE_FLOOR:
            continue
        if stated is None or int(stated[1]) != floors[name]:
            breaches.append(f"{name}: {first_line!r}, floor is {floors[name]}")
    return breaches


def misplaced_modules(page, floors):
    """Modules that the table of a page leaves out, or has in a row of other floors."""
    named = set()
    for line in page.splitlines():
        row = re.match(r"\| (\d+)((?:(?:,| to) \d+)*) [^|]*\|([^|]*)\|", line)
        if row is None:
            continue
        numbers = [int(number) for number in re.findall(r"\d+", row[1] + row[2])]
        if " to " in row[2]:
            numbers = range(numbers[0], numbers[-1] + 1)
        modules = re.findall(r"`(\w+)`", row[3])
        named |= {(module, floor) for module in modules for floor in numbers}
    known = {module for module, _ in named}
    left_out = {name for name, floor in floors.items() if (name, floor) not in named}
    return left_out | (known - set(floors))


def long_files(folder):
    lengths = {
        path.name: len(path.read_text(encoding="utf-8").splitlines())
        for path in folder.rglob("*.py")
    }
    return {name: length for name, length in lengths.items() if length > MOST_LINES}


def banned_statements(folder):
    """Assert statements, and calls of print where it has no place."""
    breaches = []
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assert):
                breaches.append(f"{path.name}:{node.lineno}: assert")
            if isinstance(node, ast.Call) and called_name(node) == "print":
                name = "print" if isinstance(node.func, ast.Name) else ".print"
                if path.name not in MAY_PRINT[name]:
                    breaches.append(f"{path.name}:{node.lineno}: {name}")
    return breaches


def test_every_module_has_a_floor():
    assert module_names(PACKAGE) - set(FLOORS) == set()


def test_every_floor_has_its_module():
    assert set(FLOORS) - module_names(PACKAGE) == set()


def test_imports_point_down():
    assert floor_breaches(PACKAGE, FLOORS) == []


def test_docstrings_state_the_floor():
    assert misstated_floors(PACKAGE, FLOORS) == []


def test_the_page_on_architecture_has_every_module_on_its_floor():
    page = (TESTS.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert misplaced_modules(page, FLOORS) == set()


@pytest.mark.parametrize("folder", [PACKAGE, TESTS], ids=["smilearn", "tests"])
def test_no_file_is_long(folder):
    assert long_files(folder) == {}


def test_no_assert_and_no_print():
    assert banned_statements(PACKAGE) == []


@pytest.mark.parametrize(
    "source",
    [
        "from smilearn.upper import thing",
        "import smilearn.upper",
        "from smilearn import upper",
        "def late():\n    from smilearn.upper import thing",
        "from importlib import import_module\nimport_module('smilearn.upper')",
        "from smilearn.beside import thing",
        "from smilearn import Scorer",  # goes through the roof
        "from . import beside",
        "from smilearn.unlisted import thing",
    ],
)
def test_a_wrong_import_is_seen(tmp_path, source):
    floors = {"lower": 0, "module": 1, "beside": 1, "upper": 2, "__init__": 11}
    (tmp_path / "module.py").write_text(source)
    assert len(floor_breaches(tmp_path, floors)) == 1
    (tmp_path / "module.py").write_text("import numpy\nfrom smilearn.lower import x")
    assert floor_breaches(tmp_path, floors) == []


def test_the_ground_carries_its_own_floor_but_rests_on_nothing(tmp_path):
    floors = {"exceptions": 0, "_optional": 0}
    (tmp_path / "_optional.py").write_text("from smilearn.exceptions import Oops")
    assert floor_breaches(tmp_path, floors) == []
    (tmp_path / "exceptions.py").write_text("from smilearn._optional import require")
    assert len(floor_breaches(tmp_path, floors)) == 1


@pytest.mark.parametrize(
    "docstring", ["No floor.", "Wrong floor (floor 2).", "No end (floor 1)", ""]
)
def test_a_misstated_floor_is_seen(tmp_path, docstring):
    (tmp_path / "module.py").write_text(f'"""{docstring}"""')
    assert len(misstated_floors(tmp_path, {"module": 1})) == 1
    (tmp_path / "module.py").write_text('"""Right (floor 1).\n\nMore.\n"""')
    assert misstated_floors(tmp_path, {"module": 1}) == []


def test_a_misplaced_module_is_seen():
    page = (
        "| floor | modules |\n|---|---|\n| 0, 2 x | `a`, `b` | c |\n| 3 to 5 y | `d` |"
    )
    assert misplaced_modules(page, {"a": 0, "b": 2, "d": 4}) == set()
    assert misplaced_modules(page, {"a": 1, "b": 2, "d": 6}) == {"a", "d"}
    assert misplaced_modules(page, {"a": 0, "d": 3, "e": 3}) == {"b", "e"}


def test_a_module_without_a_floor_is_seen(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "extra.py").touch()
    assert module_names(tmp_path) == {"sub/extra"}


def test_a_long_file_is_seen(tmp_path):
    (tmp_path / "long.py").write_text("\n" * (MOST_LINES + 1))
    (tmp_path / "fits.py").write_text("\n" * MOST_LINES)
    assert long_files(tmp_path) == {"long.py": MOST_LINES + 1}


def test_banned_statements_are_seen(tmp_path):
    (tmp_path / "module.py").write_text("def f(x):\n    assert x\n    print(x)")
    (tmp_path / "_screen.py").write_text("print(1)\nConsole().print(2)")
    (tmp_path / "cli.py").write_text("print('hello')")
    (tmp_path / "zoo.py").write_text("console.print(3)")
    found = ["_screen.py:1: print", "module.py:2: assert", "module.py:3: print"]
    assert banned_statements(tmp_path) == [*found, "zoo.py:1: .print"]
