"""What the explorer asks and is answered, without a front end: a benchmark, folders of one's own, methods, and queries."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from .. import rendering
from ..benchmark import Benchmark
from ..benchmark.triplets import TRIPLET_COLUMNS
from ..labels.pairing import PAIR_COLUMNS
from ..methods import METHODS, Fitted, Setting, get_method
from ..profiles import Profile, get_profile, runs_dir
from ..sources import load_source
from ..sources.source import CLIP_COLUMNS, LABEL_COLUMNS
from ..texts.writing import MODIFICATION_COLUMNS
from ..video import VideoError, probe
from .index import Indexed, index_folder
from .search import filter_clips, known_answers, precision_of, search

FIRST_METHOD = "clip-avg-zs"
PLAIN_CONTROLS = ("video-only", "text-only-zs")  # controls that need no training and no label of the query
TEXT_METHOD = "text-only-zs"  # what finds clips by words that no label holds
KEPT_GALLERIES = 6  # embeddings of galleries in memory; one of 36,000 clips takes 110 MB at 768 dimensions
KEPT_QUERIES = 256
NO_BENCHMARK = {
    "clips": CLIP_COLUMNS,
    "labels": LABEL_COLUMNS,
    "pairs": PAIR_COLUMNS,
    "modifications": MODIFICATION_COLUMNS,
    "triplets": TRIPLET_COLUMNS,
    "queries": ["query_id", "split", "query_clip", "modification_id", "target_labels"],
    "gallery": ["gallery", "split", "clip_id"],
    "targets": ["query_id", "gallery", "clip_id"],
}
OWN_FILES = "own files"  # where single clips are that were opened by their path


@dataclass(frozen=True)
class Answer:
    """One query, asked of one method."""

    query_clip: str | None  # None where clips are only sought by a text
    text: str
    method: str
    gallery: str
    k: int
    hide_source: bool
    ranking: pd.DataFrame  # search.RANKING_COLUMNS
    n_right: int | None  # None where it is not known what is right
    precision: dict[int, float]  # AP@K of the ranking by K, fractions
    seconds: float


class Session:
    """Clips, methods and galleries to ask. Nothing is embedded before it is asked for; all of it is kept in the stores.

    `clips` has a row a clip: clip_id, label_id, label, event, source_video, of (its split, or the folder it is from), path.
    """

    def __init__(
        self,
        benchmark: Benchmark,
        clips_dir: Path,
        profile: Profile,
        seed: int = 0,
        run_dir: Path | None = None,
        store_dir: Path | None = None,
        made_by: str = "Session(benchmark, clips_dir, profile)",
    ):
        clips_dir = Path(clips_dir).resolve()
        self.setting = Setting(benchmark, clips_dir, profile, seed, store_dir=store_dir)
        self.trained_dir = Path(run_dir) / f"seed-{seed}" if run_dir else None
        self.made_by, self.opened = made_by, []
        self._answers = known_answers(benchmark.labels, benchmark.modifications)
        shown = benchmark.labels.set_index("label_id")[["text", "event"]].rename(columns={"text": "label"})
        self.clips = _describe(
            benchmark.clips.join(shown, on="label_id").assign(
                of=benchmark.clips["split"], path=[str(clips_dir / path) for path in benchmark.clips["path"]]
            )
        )
        members = benchmark.gallery.groupby(["split", "gallery"], sort=False)["clip_id"]
        self._members = {
            f"{split}, {gallery}": ids.drop_duplicates().tolist() for (split, gallery), ids in members
        }
        self._fitted: dict[str, Fitted] = {}
        self._galleries: OrderedDict[tuple[str, str], tuple[pd.DataFrame, torch.Tensor]] = OrderedDict()
        self._queries: OrderedDict[tuple, torch.Tensor] = OrderedDict()

    @classmethod
    def open(cls, profile: str = "mini", seed: int = 0, render_seed: int = 0) -> "Session":
        """A rendered benchmark, made if it is not there yet, and the methods that were trained on it in its run's folder."""
        chosen = replace(get_profile(profile), render_seed=render_seed)
        folder = rendering.build(chosen, progress=False)
        made_by = f"Session.open({profile!r}, seed={seed}, render_seed={render_seed})"
        return cls(
            Benchmark.build(load_source("mini", folder)),
            folder,
            chosen,
            seed,
            runs_dir(chosen),
            made_by=made_by,
        )

    @classmethod
    def of_folders(cls, profile: str = "mini", seed: int = 0) -> "Session":
        """No benchmark, only folders that will be opened; methods as in `open`."""
        nothing = Benchmark(
            **{name: pd.DataFrame(columns=columns, dtype=str) for name, columns in NO_BENCHMARK.items()}
        )
        chosen = get_profile(profile)
        return cls(
            nothing,
            Path(),
            chosen,
            seed,
            runs_dir(chosen),
            made_by=f"Session.of_folders({profile!r}, seed={seed})",
        )

    @property
    def galleries(self) -> list[str]:
        """Names of what can be searched: the benchmark's galleries, test before val, and folders that were opened."""
        return sorted(
            self._members,
            key=lambda name: (name in self.opened, not name.startswith("test"), not name.endswith("full")),
        )

    @property
    def methods(self) -> list[str]:
        """Names of the methods that answer without training: zero-shot ones, and those whose checkpoint is in the run's folder."""
        return [
            name
            for name, method in METHODS.items()
            if name in PLAIN_CONTROLS
            or (method.group == "zero-shot" and not method.seeded)
            or self._checkpoint(name)
        ]

    def members(self, gallery: str) -> list[str]:
        """The clips of a gallery, or of a split."""
        found = self._members.get(gallery) or self.clips.loc[self.clips["of"] == gallery, "clip_id"].tolist()
        if not found:
            raise ValueError(
                f"gallery {gallery!r} is not known; choose one of {'; '.join(self.galleries)}, or open a folder."
            )
        return found

    def suggest(self, query_clip: str) -> list[str]:
        """Short modifications that the benchmark has for a clip's label."""
        label = self.clips.at[query_clip, "label_id"]
        texts = self.setting.benchmark.modifications
        return (
            texts.loc[(texts["source_label"] == label) & (texts["style"] == "short") & (label != ""), "text"]
            .drop_duplicates()
            .tolist()
        )

    def find(self, words: str = "", *, of: str, **wanted: str) -> tuple[pd.DataFrame, str]:
        """Clips of a split or folder by words and by what columns must hold; where no label has the words, by what CLIP makes of
        them. And a word on how, "" for the usual."""
        held, left = (filter_clips(self.clips, asked, of=of, **wanted) for asked in (words, ""))
        if len(held) or left.empty:
            return held, "" if len(held) else "no clip is left by these filters; widen one of them"
        clips, gallery_emb = self.embed_gallery(TEXT_METHOD, of)
        others = ~clips["clip_id"].isin(left["clip_id"]).to_numpy()
        query_emb = self._embed_query(self.fit(TEXT_METHOD), TEXT_METHOD, None, words)
        ranking = search(query_emb, gallery_emb, clips, len(clips), others)
        return clips.loc[
            ranking["clip_id"]
        ], f"no label or name holds “{words}”; in the order of {TEXT_METHOD}"

    def open_path(self, path: str, say: Callable[[str], None] = lambda _: None) -> tuple[str, Indexed | None]:
        """Take in a folder of clips, or one clip. Return what `of` says of them, and how it went; a folder is a gallery by that name."""
        if not path.strip():
            raise ValueError("no path is given; type the path of a clip or of a folder of clips.")
        given = Path(path.strip()).expanduser()
        if given.is_dir():
            indexed = index_folder(given, say)
            name, clips = (
                str(indexed.folder),
                indexed.clips.assign(path=[str(indexed.folder / path) for path in indexed.clips["path"]]),
            )
        elif given.exists():
            info, indexed, name = probe(given), None, OWN_FILES
            if info.fault:
                raise VideoError(info.fault, "damaged")
            clips = pd.DataFrame(
                {
                    "clip_id": [given.stem],
                    "source_video": given.stem,
                    "label_id": "",
                    "path": str(given.resolve()),
                }
            )
        else:
            raise ValueError(
                f"{path.strip()!r} does not exist; give the path of a clip or of a folder of clips."
            )
        short = Path(name).name
        taken = any(other != name and Path(other).name == short for other in self.clips["of"].unique())
        clips["clip_id"] = f"{name if taken else short}/" + clips["clip_id"]
        # What a folder calls a clip is shown; it is no label of the benchmark, and nothing is trained on the clip.
        clips = clips.assign(
            dataset="folder", split="test", label=clips["label_id"], label_id="", event="", of=name
        )
        replaced = (
            clips["clip_id"].tolist()
            if indexed is None
            else self.clips.loc[self.clips["of"] == name, "clip_id"].tolist()
        )
        known, benchmark = (
            self.clips.drop(index=[clip for clip in replaced if clip in self.clips.index]),
            self.setting.benchmark,
        )
        self.clips = pd.concat([known, _describe(clips)])
        table = pd.concat(
            [
                benchmark.clips[~benchmark.clips["clip_id"].isin(replaced)],
                clips.reindex(columns=benchmark.clips.columns),
            ]
        )
        self.setting = replace(self.setting, benchmark=replace(benchmark, clips=table.reset_index(drop=True)))
        if indexed is not None:
            self._members[name] = clips["clip_id"].tolist()
        if str(given) not in self.opened:
            self.opened.append(str(given))
        self._fitted.clear()  # they know the clips that were there when they were made
        self._queries.clear()
        for key in [key for key in self._galleries if key[1] == name]:
            del self._galleries[key]
        return name, indexed

    def ask(
        self,
        query_clip: str | None,
        text: str = "",
        *,
        method: str = FIRST_METHOD,
        gallery: str = "test, full",
        k: int = 12,
        hide_source: bool = False,
    ) -> Answer:
        """Rank a gallery for a clip and a modification; without a text by likeness to the clip, without a clip by the text.

        The query clip never answers, and with `hide_source` nothing that was cut from the same video does.
        """
        started, text = time.perf_counter(), text.strip()
        if query_clip is not None and query_clip not in self.clips.index:
            raise ValueError(
                f"clip {query_clip!r} is not known; choose one of the session's, such as {self.clips.index[0]!r}."
            )
        if query_clip is None and not text:
            raise ValueError("there is neither a clip nor a text; choose a clip, or type what to look for.")
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 clip.")
        clips, gallery_emb = self.embed_gallery(method, gallery)
        query_emb = self._embed_query(self.fit(method), method, query_clip, text)
        hidden = (clips["clip_id"] == query_clip).to_numpy()
        if query_clip is not None and hide_source:
            own = self.clips.loc[query_clip]
            hidden = (
                hidden
                | ((clips["source_video"] == own["source_video"]) & (clips["of"] == own["of"])).to_numpy()
            )
        right = self._right(clips[~hidden], query_clip, text)
        ranking = search(query_emb, gallery_emb, clips, k, hidden, right)
        precision = precision_of(ranking, right) if right else {}
        seconds = time.perf_counter() - started
        return Answer(
            query_clip,
            text,
            method,
            gallery,
            k,
            hide_source,
            ranking,
            None if right is None else len(right),
            precision,
            seconds,
        )

    def embed_gallery(self, method: str, gallery: str) -> tuple[pd.DataFrame, torch.Tensor]:
        """Clips of a gallery and their embeddings (G, D), NaN for those that could not be read."""
        key = (method, gallery)
        if key not in self._galleries:
            clips = self.clips.loc[self.members(gallery)]
            self._galleries[key] = clips, self.fit(method).embed_gallery(clips["clip_id"].tolist()).float()
            if len(self._galleries) > KEPT_GALLERIES:
                self._galleries.popitem(last=False)
        self._galleries.move_to_end(key)
        return self._galleries[key]

    def _embed_query(self, fitted: Fitted, method: str, query_clip: str | None, text: str) -> torch.Tensor:
        """(D,) of what is asked; the last few hundred are kept."""
        key = (method, query_clip, text)
        if key not in self._queries:
            if query_clip is None and method != TEXT_METHOD:
                raise ValueError(
                    f"{method} reads a clip and a text; choose a query clip, or the method {TEXT_METHOD}."
                )
            embedded = (
                fitted.embed_queries(_query(query_clip, text)) if text else fitted.embed_gallery([query_clip])
            )
            self._queries[key] = embedded[0].float()
            if len(self._queries) > KEPT_QUERIES:
                self._queries.popitem(last=False)
        self._queries.move_to_end(key)
        return self._queries[key]

    def _right(self, clips: pd.DataFrame, query_clip: str | None, text: str) -> set[str] | None:
        label = self.clips.at[query_clip, "label_id"] if query_clip is not None else ""
        labels = self._answers.get((label, text.lower())) if label else None
        return None if labels is None else set(clips.loc[clips["label_id"].isin(labels), "clip_id"])

    def fit(self, method: str) -> Fitted:
        """A method, ready for all clips of the session; a trained one is read from its checkpoint."""
        row = get_method(method)
        if method not in self._fitted:
            checkpoint = self._checkpoint(method)
            if method not in self.methods:
                others = ", ".join(self.methods)
                raise ValueError(
                    f"{method} has not been trained in this run; run notebooks 04 and 05, or choose one of {others}."
                )
            self._fitted[method] = row.fit(replace(self.setting, folder=checkpoint, checkpoint=checkpoint))
        return self._fitted[method]

    def _checkpoint(self, method: str) -> Path | None:
        folder = self.trained_dir / method if self.trained_dir else None
        return folder if folder is not None and any(folder.glob("*.safetensors")) else None


def _query(query_clip: str | None, text: str) -> pd.DataFrame:
    return pd.DataFrame({"query_id": ["explorer"], "query_clip": [query_clip or ""], "text": [text]})


def _describe(clips: pd.DataFrame) -> pd.DataFrame:
    columns = ["clip_id", "label_id", "label", "event", "source_video", "of", "path"]
    return clips[columns].fillna("").set_index("clip_id", drop=False)
