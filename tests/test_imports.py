"""Imports go one way: each room knows only the rooms below it, and nothing goes round in a circle."""

import ast
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "fracture_vae"
FLOORS = (
    {"errors", "__init__"},
    {"alone", "configs", "files", "markup", "registry"},
    {"cohort", "transforms"},
    {"networks", "preparation"},
    {"objectives"},
    {"training"},
    {"maps"},
    {"evaluation", "report"},
    {"bundle"},
    {"jobs"},
    {"sweep", "calibrating"},
    {"cli"},
)
"""From the ground up. Rooms of one floor do not know each other."""


def modules() -> dict[str, Path]:
    """Every module of the package by dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path], only_at_import: bool = False) -> set[str]:
    """The package's modules that a file imports."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = tree.body if only_at_import else list(ast.walk(tree))
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return {name for name in names if name in known}


def room(module: str) -> str:
    """The room a module lies in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def floor(name: str) -> int:
    """How high a room lies."""
    return next(height for height, rooms in enumerate(FLOORS) if name in rooms)


def test_every_room_has_its_floor() -> None:
    assert {room(module) for module in modules()} == set().union(*FLOORS)


def test_every_room_knows_only_the_rooms_below_it() -> None:
    known = modules()
    upward = [
        f"{module} imports {other}"
        for module, path in known.items()
        for other in imported(path, known)
        if room(other) != room(module) and other != "fracture_vae" and floor(room(other)) >= floor(room(module))
    ]
    assert upward == []


def test_no_relative_imports_hide_from_these_tests() -> None:
    for path in modules().values():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


def test_modules_form_no_circle() -> None:
    known = modules()
    graph = {
        module: {
            other
            for other in imported(path, known, only_at_import=True)
            if not module.startswith(f"{other}.") and other != module
        }
        for module, path in known.items()
    }
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join((*above, module))
        if module in done:
            return
        for other in graph[module]:
            if not other.startswith(f"{module}."):  # a room's __init__ exports what lies in it
                visit(other, (*above, module))
        done.add(module)

    for module in graph:
        visit(module, ())


def test_cohort_and_preparation_need_neither_torch_nor_monai() -> None:
    for path in [*(PACKAGE / "cohort").rglob("*.py"), *(PACKAGE / "preparation").rglob("*.py")]:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & {"torch", "monai"}, path


def test_nothing_loads_pickles() -> None:
    for path in modules().values():
        text = path.read_text(encoding="utf-8")
        assert "weights_only=False" not in text, path
        assert "allow_pickle=True" not in text, path
