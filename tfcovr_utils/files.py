"""Writing files so that a reader never meets half of one: write beside, then rename."""
import json
import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import Iterable, Iterator

import pandas as pd


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it there if the block succeeds, remove it if not."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last, since writers of video and pictures go by it. Two writers are kept apart by chance and not by
    # their process ids, which on two machines, or in two containers, may be the same.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(value, path: Path) -> None:
    """Write JSON with sorted keys, so equal values give equal bytes."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table as Parquet."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def read_manifest(path: Path) -> dict[str, dict]:
    """Rows of a JSONL manifest by clip, the last of a clip counting; a line that a kill cut short is none."""
    rows = {}
    for line in Path(path).read_text("utf-8").splitlines() if Path(path).exists() else []:
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["clip_id"]] = row
    return rows


def write_manifest(rows: Iterable[dict], path: Path) -> None:
    """Write a manifest anew, whole lines only, so that lines can be appended to it."""
    with replacing(path) as temporary:
        temporary.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
