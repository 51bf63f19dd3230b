"""What the explorer asks and is answered, without a front end: a library of clips, methods, and queries."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from .. import rendering
from ..benchmark.benchmark import Benchmark
from ..evaluation.asking import filter_clips, known_answers, precision_of, search
from ..methods import METHODS, Fitted, Setting, get_method
from ..profiles import Profile, get_profile, runs_dir
from ..sources import load_source
from ..sources.source import CLIP_COLUMNS
from ..study import Study
from .index import Indexed
from .library import Library
from .recent import Recent

FIRST_METHOD = "clip-avg-zs"
PLAIN_CONTROLS = ("video-only", "text-only-zs")  # controls that need no training and no label of the query
TEXT_METHOD = "text-only-zs"  # finds clips by words that no label holds
CACHED_GALLERIES = 6  # embeddings in memory; a gallery of 36,000 clips takes 110 MB at 768 dimensions
CACHED_QUERIES = 256


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
    """Methods and a library of clips to ask. Clips are embedded when asked for, and kept in stores."""

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
        setting = Setting(benchmark, Path(clips_dir).resolve(), profile, seed, store_dir=store_dir)
        self.trained_dir = Path(run_dir) / f"seed-{seed}" if run_dir else None
        self.made_by = made_by
        self._answers = known_answers(benchmark.labels, benchmark.modifications)
        self._enter(Library.of_benchmark(setting))

    @classmethod
    def open(cls, profile: str = "mini", seed: int = 0, render_seed: int = 0) -> "Session":
        """Open a rendered benchmark, made if missing, and the methods trained on it in its run's folder."""
        chosen = replace(get_profile(profile), render_seed=render_seed)
        folder = rendering.build(chosen, progress=False)
        made_by = f"Session.open({profile!r}, seed={seed}, render_seed={render_seed})"
        benchmark = Benchmark.build(load_source("mini", folder))
        return cls(benchmark, folder, chosen, seed, runs_dir(chosen), made_by=made_by)

    @classmethod
    def of_study(cls, study: Study) -> "Session":
        """Open a study's clips, and the methods trained on it."""
        made_by = f"Session.of_study(open_study({study.source!r}, {study.seed}))"
        return cls(study.benchmark, study.clips_dir, study.profile, study.seed, study.out, made_by=made_by)

    @classmethod
    def of_folders(cls, profile: str = "mini", seed: int = 0) -> "Session":
        """Begin without a benchmark, with only folders that will be opened; methods as in `open`."""
        chosen, made_by = get_profile(profile), f"Session.of_folders({profile!r}, seed={seed})"
        empty = Benchmark.unlabelled(pd.DataFrame(columns=CLIP_COLUMNS, dtype=str))
        return cls(empty, Path(), chosen, seed, runs_dir(chosen), made_by=made_by)

    def _enter(self, library: Library, galleries: Iterable[tuple] = ()) -> None:
        """Take up a library, with new caches: fitted methods know only the clips they were fitted with."""
        self.library = library
        self._fitted: dict[str, Fitted] = {}
        self._queries, self._galleries = Recent(CACHED_QUERIES), Recent(CACHED_GALLERIES, galleries)

    @property
    def clips(self) -> pd.DataFrame:
        """All clips, as in `Library`."""
        return self.library.clips

    @property
    def setting(self) -> Setting:
        """What methods are fitted on."""
        return self.library.setting

    @property
    def galleries(self) -> list[str]:
        """Names of what can be searched: the benchmark's galleries, then folders that were opened."""
        return list(self.library.galleries)

    @property
    def methods(self) -> list[str]:
        """Names of methods ready to answer: those that need no training, and those trained in the run."""
        ready = {name for name, row in METHODS.items() if row.group != "control" and not row.seeded}
        return [name for name in METHODS if name in (*ready, *PLAIN_CONTROLS) or self._checkpoint(name)]

    def members(self, gallery: str) -> list[str]:
        """List the clips of a gallery, or of a split."""
        return self.library.members(gallery)

    def suggest(self, query_clip: str) -> list[str]:
        """Short modifications that the benchmark has for a clip's label."""
        label, texts = self.clips.at[query_clip, "label_id"], self.setting.benchmark.modifications
        fitting = (texts["source_label"] == label) & (texts["style"] == "short") & (label != "")
        return texts.loc[fitting, "text"].drop_duplicates().tolist()

    def find(self, words: str = "", *, of: str, **wanted: str) -> tuple[pd.DataFrame, str]:
        """Find clips of a split or folder by words and by values of columns; return them and a remark.

        Where no label or name holds the words, all clips left are ranked by CLIP's text feature.
        """
        held, left = (filter_clips(self.clips, asked, of=of, **wanted) for asked in (words, ""))
        if len(held) or left.empty:
            return held, "" if len(held) else "no clip is left by these filters; widen one of them"
        clips, gallery_emb = self.embed_gallery(TEXT_METHOD, of)
        others = ~clips["clip_id"].isin(left["clip_id"]).to_numpy()
        ranking = search(self._embed_query(TEXT_METHOD, None, words), gallery_emb, clips, len(clips), others)
        return clips.loc[
            ranking["clip_id"]
        ], f"no label or name holds “{words}”; in the order of {TEXT_METHOD}"

    def open_path(self, path: str, say: Callable[[str], None] = lambda _: None) -> tuple[str, Indexed | None]:
        """Add a folder of clips, or one clip; return what `of` calls it, and how indexing a folder went."""
        library, name, indexed = self.library.add_path(path, say)
        self._enter(library, [(key, kept) for key, kept in self._galleries.items() if key[1] != name])
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
        """Rank a gallery for a clip and a modification; without a text by likeness, without a clip by text.

        The query clip never answers, and with `hide_source` nothing that was cut from the same video does.
        """
        started, text = time.perf_counter(), text.strip()
        if query_clip is not None and query_clip not in self.clips.index:
            example = self.clips.index[0]
            advice = f"choose one of the session's, such as {example!r}"
            raise ValueError(f"clip {query_clip!r} is not known; {advice}.")
        if query_clip is None and not text:
            raise ValueError("there is neither a clip nor a text; choose a clip, or type what to look for.")
        if k < 1:
            raise ValueError(f"k is {k}; ask for at least 1 clip.")
        clips, gallery_emb = self.embed_gallery(method, gallery)
        query_emb = self._embed_query(method, query_clip, text)
        hidden = clips["clip_id"] == query_clip
        if query_clip is not None and hide_source:
            own = self.clips.loc[query_clip]
            hidden |= (clips["source_video"] == own["source_video"]) & (clips["of"] == own["of"])
        right = self._right(clips[~hidden], query_clip, text)
        ranking = search(query_emb, gallery_emb, clips, k, hidden.to_numpy(), right)
        precision = precision_of(ranking, right) if right else {}
        n_right, seconds = None if right is None else len(right), time.perf_counter() - started
        return Answer(query_clip, text, method, gallery, k, hide_source, ranking, n_right, precision, seconds)

    def embed_gallery(self, method: str, gallery: str) -> tuple[pd.DataFrame, torch.Tensor]:
        """Clips of a gallery and their embeddings (G, D), NaN for those that could not be read."""

        def embed() -> tuple[pd.DataFrame, torch.Tensor]:
            clips = self.clips.loc[self.members(gallery)]
            return clips, self.fit(method).embed_gallery(clips["clip_id"].tolist()).float()

        return self._galleries.fetch((method, gallery), embed)

    def _embed_query(self, method: str, query_clip: str | None, text: str) -> torch.Tensor:
        """Embed what is asked, (D,)."""
        fitted = self.fit(method)

        def embed() -> torch.Tensor:
            if query_clip is None and method != TEXT_METHOD:
                advice = f"choose a query clip, or the method {TEXT_METHOD}"
                raise ValueError(f"{method} reads a clip and a text; {advice}.")
            asked = pd.DataFrame({"query_id": ["explorer"], "query_clip": [query_clip or ""], "text": [text]})
            return (fitted.embed_queries(asked) if text else fitted.embed_gallery([query_clip]))[0].float()

        return self._queries.fetch((method, query_clip, text), embed)

    def _right(self, clips: pd.DataFrame, query_clip: str | None, text: str) -> set[str] | None:
        label = self.clips.at[query_clip, "label_id"] if query_clip is not None else ""
        labels = self._answers.get((label, text.lower())) if label else None
        return None if labels is None else set(clips.loc[clips["label_id"].isin(labels), "clip_id"])

    def fit(self, method: str) -> Fitted:
        """Get a method ready for all clips of the session; a trained one is read from its checkpoint."""
        row = get_method(method)
        if method not in self._fitted:
            checkpoint = self._checkpoint(method)
            if method not in self.methods:
                why, advice = "has not been trained in this run", "run notebooks 04 and 05, or choose one of"
                if not row.seeded:
                    why, advice = "reads labels, which a question asked here does not have", "choose one of"
                raise ValueError(f"{method} {why}; {advice} {', '.join(self.methods)}.")
            self._fitted[method] = row.fit(replace(self.setting, folder=checkpoint, checkpoint=checkpoint))
        return self._fitted[method]

    def _checkpoint(self, method: str) -> Path | None:
        folder = self.trained_dir / method if self.trained_dir else None
        return folder if folder is not None and any(folder.glob("*.safetensors")) else None
