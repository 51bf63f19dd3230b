"""What something is made from, as hashes: code, files, libraries. What would be made from the same need not be made again."""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ..profiles import ROOT

PACKAGE = Path(__file__).parent.parent
VERSIONED = ("tfcovr-utils", "torch", "transformers", "numpy", "pandas")


def versions() -> dict[str, str]:
    """Versions of the libraries that decide numbers."""
    return {package: version(package) for package in VERSIONED}


def hash_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            content.update(block)
    return content.hexdigest()[:16]


def hash_files_below(folder: Path) -> dict[str, str]:
    """Hashes of all files below a folder but hidden ones, by their path in it; of none where there is no folder."""
    paths = [
        path for path in sorted(Path(folder).rglob("*")) if path.is_file() and not path.name.startswith(".")
    ]
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}


def hash_weights_named(name: str | Path | None) -> str | None:
    """Hash of local weights, a file or a folder, seen from here or from the project's root; of anything else, a hub id, its name."""
    for path in (Path(name), ROOT / name) if name else ():
        if path.is_file():
            return hash_file(path)
        if path.is_dir():
            return hash_text(str(hash_files_below(path)))
    return name and str(name)


def code_hashes(source: str) -> dict[str, str]:
    """Hashes of the package's files that some Python source imports, directly or through others, by their path in the package.

    Of a package within it all modules count: some are only imported when they are asked for by name.
    """
    found: set[Path] = set()
    todo = _imported(source, ("tfcovr_utils",))
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            if path.suffix == ".py":
                todo |= _imported_by(path)
    return {path.relative_to(PACKAGE).as_posix(): _hash_code(path) for path in sorted(found)}


@cache
def _hash_code(path: Path) -> str:
    """As the process found it: what it imported does not change when the file does."""
    return hash_file(path)


@cache
def _imported_by(path: Path) -> set[Path]:
    return _imported(path.read_text("utf-8"), ("tfcovr_utils", *path.relative_to(PACKAGE).parent.parts))


def _imported(source: str, inside: tuple[str, ...]) -> set[Path]:
    """Files of the package that a source names in its imports, relative ones seen from the package `inside`."""
    names: set[tuple[str, ...]] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {tuple(alias.name.split(".")) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else ()
            names |= {(*base, *(node.module or "").split("."), alias.name) for alias in node.names}
    return {path for name in names for path in _files_of(tuple(part for part in name if part))}


def _files_of(name: tuple[str, ...]) -> Iterable[Path]:
    """The file of a dotted name, or all of the package within the package that it leads into."""
    if name[0] != "tfcovr_utils" or len(name) < 2:
        return []
    folder = PACKAGE / name[1]
    if folder.is_dir():
        return [*folder.rglob("*.py"), *([PACKAGE / "tfcovr.mplstyle"] if name[1] == "plots" else [])]
    return [path for path in [folder.with_suffix(".py")] if path.exists()]
