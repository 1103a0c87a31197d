"""The modules of a package, and what each imports, read without running any of it."""

from __future__ import annotations

import ast
import enum
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path


class When(enum.Enum):
    """When an import runs."""

    AT_ONCE = "at once"  # as soon as the module is imported
    LATER = "later"  # when a function is called
    NEVER = "never"  # under TYPE_CHECKING: for types, and for the reader


@dataclass(frozen=True)
class Import:
    """A name that a module imports; ``from a import b`` is ``a.b``, relative ones are made absolute."""

    name: str
    when: When


@dataclass(frozen=True)
class Package:
    """A package on disk; `folder` carries its name.

    A room of it is a folder at its top with Python in it, or a module at its top that lies in no folder.
    """

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @cached_property
    def modules(self) -> dict[str, Path]:
        """Dotted names, and the files; a folder's own name is its ``__init__.py``."""
        return {self._name_of(path): path for path in sorted(self.folder.rglob("*.py"))}

    @cached_property
    def imports(self) -> dict[str, frozenset[Import]]:
        """What each module imports, from anywhere."""
        return {module: frozenset(self._imports_of(module)) for module in self.modules}

    @cached_property
    def arrows(self) -> dict[str, dict[str, set[When]]]:
        """For each module the other modules of this package that it imports, and when.

        An arrow leads to the module that is named: the ``__init__.py`` of the folders above it, which Python
        runs as well, is meant only where something is imported from it.
        """
        arrows: dict[str, dict[str, set[When]]] = {module: {} for module in self.modules}
        for module, imports in self.imports.items():
            for one in imports:
                target = self._module_of(one.name)
                if target is not None and target != module:
                    arrows[module].setdefault(target, set()).add(one.when)
        return arrows

    @cached_property
    def rooms(self) -> list[str]:
        """By name, in alphabetical order; the package's own ``__init__.py`` is none."""
        return sorted({room for module in self.modules if (room := self.room_of(module)) is not None})

    @cached_property
    def room_arrows(self) -> dict[str, dict[str, set[When]]]:
        """For each room the other rooms that it imports from, and when."""
        arrows: dict[str, dict[str, set[When]]] = {room: {} for room in self.rooms}
        for module, targets in self.arrows.items():
            room = self.room_of(module)
            for target, times in targets.items():
                other = self.room_of(target)
                if room is not None and other is not None and other != room:
                    arrows[room].setdefault(other, set()).update(times)
        return arrows

    def room_of(self, module: str) -> str | None:
        """None: the package's own ``__init__.py``, which lies in no room."""
        below = module.split(".")[1:]
        return below[0] if below else None

    def is_folder(self, module: str) -> bool:
        """Is it the ``__init__.py`` of a folder?"""
        return self.modules[module].name == "__init__.py"

    def docstring(self, module: str) -> str:
        """Empty where it has none."""
        return ast.get_docstring(self.tree(module)) or ""

    def tree(self, module: str) -> ast.Module:
        return ast.parse(self.modules[module].read_text())

    def length(self, module: str) -> int:
        """Lines."""
        return len(self.modules[module].read_text().splitlines())

    def _name_of(self, path: Path) -> str:
        parts = path.relative_to(self.folder.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def _module_of(self, name: str) -> str | None:
        """The module that a dotted name is, or is a part of."""
        while name and name not in self.modules:
            name = name.rpartition(".")[0]
        return name or None

    def _imports_of(self, module: str) -> Iterator[Import]:
        for node, when in statements(self.tree(module)):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, when) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = ".".join(filter(None, (self._above(module, node.level), node.module)))
                yield from (Import(f"{origin}.{alias.name}", when) for alias in node.names)

    def _above(self, module: str, level: int) -> str:
        """What the dots of a relative import stand for; nothing if there are none."""
        parts = module.split(".")
        if self.is_folder(module):
            parts.append("__init__")
        return ".".join(parts[:-level]) if level else ""


def statements(node: ast.AST, when: When = When.AT_ONCE) -> Iterator[tuple[ast.AST, When]]:
    """Every node below, and when it runs."""
    for child in ast.iter_child_nodes(node):
        runs = when
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and when is When.AT_ONCE:
            runs = When.LATER
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            runs = When.NEVER
        yield child, runs
        yield from statements(child, runs)


def sentences(docstring: str) -> list[str]:
    """Each on one line, with its full stop."""
    return re.split(r"(?<=\.) ", " ".join(docstring.split())) if docstring else []
