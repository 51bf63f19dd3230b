"""SHA-256 of what a result is made from: texts, files, tensors, code.

Equal hashes mean that a stored result can be reused.
"""

import ast
import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from ..profiles import ROOT

PACKAGE = Path(__file__).parent.parent
CODE = (".py", ".mplstyle", ".csv", ".txt")  # suffixes of the files that decide results
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
VERSIONED = ("tfcovr-utils", "torch", "transformers", "numpy", "pandas")


def versions() -> dict[str, str]:
    """Versions of the libraries that decide numbers."""
    return {package: version(package) for package in VERSIONED}


def digest(content: str | bytes) -> str:
    """Return the whole SHA-256 of a text or of bytes, in hexadecimal.

    >>> digest("clip")[:8], digest(b"clip")[:8]
    ('67905ad3', '67905ad3')
    """
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def digest_json(value: object) -> str:
    """Hash a JSON value; equal values give equal hashes, whatever the order of their keys."""
    return digest(json.dumps(value, sort_keys=True, ensure_ascii=False))


def digest_file(path: Path) -> str:
    """Hash a file's content without reading all of it into memory."""
    content = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(2**20):
            content.update(block)
    return content.hexdigest()


def digest_tensors(state: dict, scalars_as_text: bool = False) -> str:
    """Hash tensors by name, type, shape and value. scalars_as_text: as encoders' identities do."""
    import torch  # here, since most that hash do not need it

    content = hashlib.sha256()
    for name, value in sorted(state.items()):
        content.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        if scalars_as_text and not value.ndim:
            content.update(str(value.item()).encode())
        else:
            content.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return content.hexdigest()


def hash_text(text: str) -> str:
    """Return the first 16 digits of `digest`, enough to tell inputs apart."""
    return digest(text)[:16]


def hash_file(path: Path) -> str:
    """Return the first 16 digits of `digest_file`."""
    return digest_file(path)[:16]


def hash_files_below(folder: Path) -> dict[str, str]:
    """Hash all files below a folder but hidden ones, by their path in it; a missing folder has none."""
    paths = (path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.name[0] != ".")
    return {path.relative_to(folder).as_posix(): hash_file(path) for path in paths}


def hash_weights_named(name: str | Path | None) -> str | None:
    """Hash a file or folder of weights, given from here or from the project's root.

    Anything else, such as a hub id, is returned as it is.
    """
    for path in (Path(name), ROOT / name) if name else ():
        if path.is_file():
            return hash_file(path)
        if path.is_dir():
            return hash_text(str(hash_files_below(path)))
    return name and str(name)


@cache
def hash_rooms(*rooms: str) -> str:
    """Hash the code of folders and files of the package; comments, docstrings and formatting do not count.

    Each is read once, so the hash is of the code as this process found it.
    """
    paths = [PACKAGE / room for room in rooms]
    if missing := [path for path in paths if not path.exists()]:
        raise FileNotFoundError(f"{missing[0]} does not exist; name a room or a file of the package.")
    files = sorted({file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])})
    code = {file.relative_to(PACKAGE).as_posix(): _hash_code(file) for file in files if file.suffix in CODE}
    return hash_text(str(code))


@cache
def _hash_code(path: Path) -> str:
    if path.suffix != ".py":
        return hash_file(path)
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return hash_text(ast.dump(tree))
