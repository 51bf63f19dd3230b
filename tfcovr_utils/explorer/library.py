"""What a session shows and searches: a benchmark's clips and galleries, and folders that were opened."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from ..methods import Setting
from ..video import VideoError, probe
from .index import Indexed, index_folder
from .paths import typed_path

SHOWN_COLUMNS = ["clip_id", "label_id", "label", "event", "source_video", "of", "path"]
OWN_FILES = "own files"  # where single clips are that were opened by their path


@dataclass(frozen=True)
class Library:
    """Clips and galleries; never changed in place.

    `clips` has the columns SHOWN_COLUMNS, indexed by clip_id; `of` is a clip's split, or its folder.
    """

    setting: Setting
    clips: pd.DataFrame
    galleries: dict[str, list[str]]  # clip ids by name: galleries of the benchmark, then opened folders
    opened: tuple[str, ...] = ()  # paths, as they were given

    @classmethod
    def of_benchmark(cls, setting: Setting) -> "Library":
        """Show a benchmark's clips, and its galleries: test before val, full before capped."""
        labels = setting.benchmark.labels.set_index("label_id")
        shown = setting.benchmark.clips.join(labels[["text", "event"]], on="label_id")
        paths = [str(setting.clips_dir / path) for path in shown["path"]]
        groups = setting.benchmark.gallery.groupby(["split", "gallery"], sort=False)["clip_id"]
        members = {f"{split}, {name}": ids.drop_duplicates().tolist() for (split, name), ids in groups}
        names = sorted(members, key=lambda name: (not name.startswith("test"), not name.endswith("full")))
        clips = _describe(shown.assign(label=shown["text"], of=shown["split"], path=paths))
        return cls(setting, clips, {name: members[name] for name in names})

    def members(self, gallery: str) -> list[str]:
        """List the clips of a gallery, or of a split."""
        found = self.galleries.get(gallery) or self.clips.loc[self.clips["of"] == gallery, "clip_id"].tolist()
        if not found:
            known = "; ".join(self.galleries)
            raise ValueError(f"gallery {gallery!r} is not known; choose one of {known}, or open a folder.")
        return found

    def add_path(self, path: str, say: Callable[[str], None]) -> tuple["Library", str, Indexed | None]:
        """Return a library with one folder or clip more, what `of` calls it, and how indexing went."""
        given = typed_path(path)
        indexed = index_folder(given, say) if given.is_dir() else None
        name = str(indexed.folder) if indexed else OWN_FILES
        clips = indexed.clips if indexed else _one_clip(given)
        short = Path(name).name
        taken = any(other != name and Path(other).name == short for other in self.clips["of"].unique())
        # What a folder calls a clip is shown; it is no label of the benchmark, and nothing is trained on it.
        clips = clips.assign(
            clip_id=f"{name if taken else short}/" + clips["clip_id"],
            path=[str((indexed.folder if indexed else Path()) / clip) for clip in clips["path"]],
            **{"dataset": "folder", "split": "test", "label": clips["label_id"], "label_id": "", "event": ""},
            of=name,
        )
        return self._with(clips, name, str(given)), name, indexed

    def _with(self, clips: pd.DataFrame, name: str, given: str) -> "Library":
        galleries, before = self.galleries, self.clips["clip_id"].isin(clips["clip_id"])
        if name != OWN_FILES:
            galleries = galleries | {name: clips["clip_id"].tolist()}
            before |= self.clips["of"] == name
        known = self.setting.benchmark.clips
        known = known[~known["clip_id"].isin(self.clips.loc[before, "clip_id"])]
        table = pd.concat([known, clips.reindex(columns=known.columns)], ignore_index=True)
        setting = replace(self.setting, benchmark=replace(self.setting.benchmark, clips=table))
        opened = tuple(dict.fromkeys((*self.opened, given)))
        return Library(setting, pd.concat([self.clips[~before], _describe(clips)]), galleries, opened)


def _one_clip(path: Path) -> pd.DataFrame:
    if fault := probe(path).fault:
        raise VideoError(fault)
    row = {"clip_id": path.stem, "source_video": path.stem, "label_id": "", "path": str(path.resolve())}
    return pd.DataFrame([row])


def _describe(clips: pd.DataFrame) -> pd.DataFrame:
    return clips[SHOWN_COLUMNS].fillna("").set_index("clip_id", drop=False)
