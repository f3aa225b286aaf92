"""Which module imports which: never in a circle, lazily and for types alone included."""

import ast
from pathlib import Path

import posteriori

ROOT = Path(posteriori.__file__).parent
#: hands names on when they are asked for
APART = {"posteriori"}


def module(path):
    return ".".join(["posteriori", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")


MODULES = {module(path): path for path in ROOT.rglob("*.py")}


def imported(path):
    """The modules of the package that the file imports, wherever it does; of a package, the names that are modules."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield from {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys() or {node.module}
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & MODULES.keys()


def circle(graph):
    """Modules that import each other in turn, or none."""
    done, path = set(), []

    def visit(name):
        if name in path:
            return path[path.index(name) :]
        if name in done:
            return []
        path.append(name)
        for other in sorted(graph[name]):
            if found := visit(other):
                return found
        done.add(path.pop())
        return []

    return next((found for name in sorted(graph) if (found := visit(name))), [])


def test_no_module_imports_itself_by_way_of_others():
    graph = {name: set(imported(path)) - APART for name, path in MODULES.items()}
    assert "posteriori.schedule" in graph["posteriori.loop"]
    assert circle(graph) == []


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"d", "b"}, "d": set()}
    assert circle(graph) == ["b", "c"]


def test_no_room_imports_itself_by_way_of_others():
    """A room is a folder of the package, or a module beside them."""
    room = lambda name: name.split(".")[1]  # noqa: E731
    graph = {room(name): set() for name in MODULES if name != "posteriori"}
    for name, path in MODULES.items():
        if name != "posteriori":
            graph[room(name)] |= {room(other) for other in set(imported(path)) - APART} - {room(name)}
    assert "priors" in graph["hub"]
    assert circle(graph) == []
