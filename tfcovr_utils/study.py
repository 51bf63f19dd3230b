"""The front door: `open_study` opens a benchmark; a `Study` trains, scores, compares, asks and exports on it.

A notebook's cells are calls of these methods and what they show. Each method is a few calls into the rooms.
"""

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler

from . import plots
from .benchmark.benchmark import Benchmark
from .benchmark.protocols import choose_protocols
from .benchmark.views import view_clips, view_labels, view_queries
from .embedding.embed import Embedded
from .encoders import Encoder, load_encoder
from .evaluation import results
from .evaluation.asking import ask_clips
from .evaluation.comparisons import compare_all, compare_options
from .evaluation.paper import beside_paper
from .evaluation.rows import embed_in_shares, run_rows
from .machine.workers import require_main_guard, run_in_parallel
from .methods import METHODS, Fitted, Setting, get_method
from .metrics.intervals import PairedInterval
from .profiles import RENDERED, Profile, get_profile, provenance, runs_dir
from .rendering.opening import NEEDS, choose_profile, open_source, require, warn_of_weights
from .sources import check_source
from .training.recipes import RECIPES
from .training.teaching import Learned, TrainingClips, learn
from .video.frames import read_clips
from .video.hashes import clip_exists

SHUFFLED_SEARCH = "-shuffled-test"  # rows that search with another row's trained weights


def open_study(
    source: str = "mini",
    seed: int = 0,
    profile: str | None = None,
    render_seed: int = 0,
    annotations: str | Path | None = None,
    clips: str | Path | None = None,
    modifications: pd.DataFrame | None = None,
) -> "Study":
    """Open a benchmark, which is rendered or read first, and return a `Study` of it.

    seed: of the training. profile: sizes and weights; the source's own where none is named.
    render_seed: of a rendering. annotations: folder of the files of a source that is not rendered;
    $TFCOVR_ANNOTATIONS where none is named. clips: folder of the clips, such as your own of source "folder";
    $TFCOVR_CLIPS where none is named. modifications: instructions in place of those written by rule.
    """
    require_main_guard()
    check_source(source)
    chosen = replace(get_profile(profile or choose_profile(source)), render_seed=render_seed)
    opened = open_source(source, chosen, annotations=annotations, clips=clips, modifications=modifications)
    return Study(source, opened.benchmark, opened.clips_dir, chosen, seed, opened.embeddings)


@dataclass(frozen=True)
class Study:
    """One benchmark, its clips, its settings, and the folder where results go."""

    source: str
    benchmark: Benchmark
    clips_dir: Path  # where the clips' paths start
    profile: Profile
    seed: int = 0
    embeddings: dict[str, Path] = field(default_factory=dict)  # files to read in place of clips, by encoder
    part: str = ""  # of a run whose results are kept apart, such as "dense" for dense instructions

    def gives(self, need: str) -> bool:
        """Whether the source has what a cell needs, see `opening.NEEDS`; if not, show a line that says so."""
        if not (met := NEEDS[need].is_met(self.benchmark, self.clips_dir)):
            display(Markdown(f"*{self.source} {NEEDS[need].lack}: left out here.*"))
        return met

    def must_give(self, *needs: str) -> None:
        """Refuse to go on without what a whole notebook is about."""
        require(self.source, needs, self.benchmark, self.clips_dir)

    @property
    def out(self) -> Path:
        """The run's folder."""
        return runs_dir(self.profile, self.source)

    @property
    def folder(self) -> Path:
        """Where this seed's encoders and trained rows are kept."""
        return self.out / f"seed-{self.seed}" / self.part

    @property
    def results_dir(self) -> Path:
        """Where results are kept: one file a row and seed."""
        return self.out / self.part / "results"

    @property
    def figures_dir(self) -> Path:
        """Where figures go; a seed other than 0 has a folder of its own."""
        return plots.figures_dir(self.out, self.seed)

    @cached_property
    def protocols(self) -> tuple[str, ...]:
        """What `score` scores; the first is the headline."""
        return choose_protocols(self.benchmark, self.source in RENDERED)

    @property
    def headline(self) -> str:
        """The protocol that tables show."""
        return self.protocols[0]

    def renderings(self) -> dict[str, "Study"]:
        """This study's results on each rendering that has some: "rendering 0", "rendering 1"."""
        profiles = {f"rendering {n}": replace(self.profile, render_seed=n) for n in (0, 1)}
        studies = {name: replace(self, profile=profile) for name, profile in profiles.items()}
        return {name: study for name, study in studies.items() if study.results_dir.exists()}

    def on(self, benchmark: Benchmark, part: str) -> "Study":
        """This study on a changed benchmark; what it trains and scores goes to a part of the run."""
        return replace(self, benchmark=benchmark, part=part)

    @cached_property
    def labels(self) -> pd.DataFrame:
        """The labels by label_id, with a column for each attribute."""
        return view_labels(self.benchmark)

    @cached_property
    def clips(self) -> pd.DataFrame:
        """The clips by clip_id, with their label's `text` and their `seconds`."""
        return view_clips(self.benchmark)

    @cached_property
    def queries(self) -> pd.DataFrame:
        """The test queries by query_id: text, label pair, kind, tier, changed, answers."""
        return view_queries(self.benchmark, self.headline)

    @cached_property
    def factors(self) -> pd.DataFrame:
        """What a rendering decided about each clip, by clip_id: skill, counts, camera, hall."""
        table = pd.read_parquet(self.clips_dir / "factors.parquet")
        return table.set_index("clip_id", drop=False).rename_axis(None)

    def summary(self, **more) -> Markdown:
        """One line on what this study is, and below it how it was made."""
        size = f"{len(self.benchmark.clips):,} clips, {len(self.benchmark.labels)} labels"
        asked = f"{len(self.benchmark.triplets):,} training triplets, {len(self.queries)} test queries"
        made = provenance(self.profile, self.seed, source=self.source, **more)
        warning = warn_of_weights(self.source, self.profile)
        return Markdown(
            f"source **{self.source}**, profile **{self.profile.name}**, seed {self.seed}: {size}, {asked}; "
            f"torch {torch.__version__}, {torch.get_num_threads()} threads  \n`{made}`{warning}"
        )

    @cached_property
    def setting(self) -> Setting:
        """What rows are fitted on."""
        given = {"embeddings": self.embeddings}
        return Setting(self.benchmark, self.clips_dir, self.profile, self.seed, self.folder, **given)

    def teach(self, *recipes: str) -> dict[str, Learned]:
        """Stage 1: train encoders that are not there yet, in parallel; return all by recipe."""
        if not self.gives("videos"):
            return {}
        clips = self.benchmark, self.clips_dir, self.profile
        given, folder = TrainingClips(*clips, poses=self.embeddings.get("pose")), self.folder / "stage1"
        first = [name for name in recipes if not RECIPES[name].start]  # the others start from one of these
        run_in_parallel(learn, [(name, given, self.seed, folder / name) for name in first])
        return {name: learn(name, given, self.seed, folder / name) for name in recipes}

    def score(
        self,
        rows: Iterable[str],
        protocols: Sequence[str] | None = None,
        *,
        method: str | None = None,
        changes: dict[str, dict] | None = None,
        recalls: bool = False,
    ) -> pd.DataFrame:
        """Fit rows where they need it, score them, and return their table; finished results are kept.

        method: the row that all of `rows` are variants of. changes: by name, the fields of a row's Setting
        that differ from the study's. recalls: also write BSE-CoVR's files beside the weights.
        """
        settings = {}
        for name in reversed(rows := list(rows)):  # the last ones take longest
            changed = (changes or {}).get(name, {})
            if name.endswith(SHUFFLED_SEARCH):
                changed = {"checkpoint": self.folder / name.removesuffix(SHUFFLED_SEARCH)} | changed
            settings[name] = replace(self.setting, folder=self.folder / name, **changed)
        asked = list(protocols or self.protocols)
        run_rows(settings, asked, self.results_dir, method=method, recalls=recalls)
        return self.table(rows)

    def fit(self, method: str) -> Fitted:
        """A row ready to answer: the trained one where `score` has trained it, else fitted now."""
        trained = self.folder / method
        checkpoint = trained if trained.exists() and any(trained.iterdir()) else None
        return get_method(method).fit(replace(self.setting, folder=trained, checkpoint=checkpoint))

    def embed(self, encoder: str | Encoder, clips: pd.DataFrame | None = None, **options) -> Embedded:
        """Embed clips once, one embedding a frame; all of them where none are named."""
        if isinstance(encoder, str):
            weights = getattr(self.profile, f"{encoder}_weights", self.profile.clip_weights)
            encoder = load_encoder(encoder, weights, **({"read_out": "pooled"} if encoder == "clip" else {}))
        given = {"frames": self.profile.frames, "progress": False} | options
        clips = self.benchmark.clips if clips is None else clips
        return embed_in_shares(encoder, clips, self.clips_dir, **given)

    def results(self, rows: Sequence[str] | None = None) -> pd.DataFrame:
        """Results under the headline protocol, one row a method, seed and query."""
        found = results.read_results(self.results_dir)
        found = found[found["protocol"] == self.headline]
        return found if rows is None else found[found["method"].isin(rows)]

    def table(self, rows: Sequence[str] | None = None, *, paper: bool = False) -> pd.DataFrame:
        """mAP@K of rows in their order, with intervals, seeds, coverage; with `paper` the paper's mAP@50.

        A row that has not run says why in `status`.
        """
        summary = results.summarise(self.results_dir, protocols=[self.headline])
        if paper:
            return beside_paper(summary, list(rows or summary["method"]))
        table = summary.set_index("method").reindex(rows) if rows is not None else summary.set_index("method")
        return table.fillna({"n_seeds": 0, "status": "not run: `make sweep` runs it"})

    def compare(self, row: str, against: str) -> PairedInterval:
        """The paired difference of two rows in points of mAP@50."""
        return results.compare(self.results([row]), self.results([against]))

    def compare_all(self, questions: Iterable[tuple[str, str, str]]) -> pd.DataFrame:
        """`compare` for each (row, against, what it tells) whose rows have run: one line each."""
        return compare_all(self.results(), questions)

    def compare_options(self, options: Sequence[str], against: str) -> pd.DataFrame:
        """Rows by their score on val, with seconds of training, mAP@50, and the gap to one row."""
        return compare_options(self.cost(options), self.table(options), self.results(), against)

    def by_kind(self, rows: Sequence[str]) -> pd.DataFrame:
        """mAP@50 of rows by kind of change."""
        table = results.by_kind(self.results(rows)).pivot(index="method", columns="kind", values="mAP@50")
        return table.reindex([row for row in rows if row in table.index])

    def by_factor(self, rows: Sequence[str]) -> pd.DataFrame:
        """How often the clip ranked first misses a changed attribute, by attribute, in per cent."""
        return results.by_factor(self.results(rows)).rename(columns={"missed_changed": "missed"})

    def curves(self, rows: Iterable[str]) -> pd.DataFrame:
        """Training curves of rows that this seed has trained; `val` in per cent."""
        return results.training_curves(self.results_dir, rows, self.seed)

    def ran(self, rows: Sequence[str]) -> list[str]:
        """Those of `rows` that have results; where some have none, the best others take their places."""
        return results.best_rows(results.summarise(self.results_dir, protocols=[self.headline]), rows)

    def cost(self, rows: Iterable[str]) -> pd.DataFrame:
        """Seconds of training and mAP@50 on val of rows that have run, means over seeds."""
        return results.training_cost(self.results_dir, list(rows))

    def ask(self, clip_id: str, text: str, k: int = 12, method: str = "clip-avg-zs") -> pd.DataFrame:
        """Ask one question of the test clips; return the first k, see `asking.RANKING_COLUMNS`."""
        return ask_clips(self.fit(method), self.clips, self.queries, clip_id, text, k)

    def about(self, rows: Iterable[str]) -> Styler:
        """What each row does, as a table with text to the left."""
        said = pd.Series({name: METHODS[name].about for name in rows}, name="query and gallery")
        return plots.as_text(said.to_frame())

    def sheet(self, clips: dict[str, str], frames: int = 12, labelled: bool = False) -> Figure | Markdown:
        """A row of frames a clip; `clips` has the clip_id by caption, and `labelled` adds its label."""
        paths = {name: self.clips_dir / self.clips["path"][clip_id] for name, clip_id in clips.items()}
        clips = {name: clip_id for name, clip_id in clips.items() if clip_exists(paths[name])}
        if not clips:
            return Markdown(f"*{self.source} {NEEDS['videos'].lack}: no contact sheet.*")
        said = {name: textwrap.fill(self.clips["text"][clip_id], 30) for name, clip_id in clips.items()}
        captions = [f"{name}: {label}" for name, label in said.items()] if labelled else clips
        shown = read_clips([paths[name] for name in clips], frames)
        return plots.contact_sheet(dict(zip(captions, shown)), frames=frames)

    def export(self, notebook: str, **drawn) -> list[str]:
        """Save tables, or figures with the tables they were drawn from, by name; return the files' names."""
        saved = []
        for name, what in drawn.items():
            if isinstance(what, pd.DataFrame):
                saved += plots.save_table(what, f"{notebook}_{name}", self.figures_dir)
            else:
                saved += plots.save_figure(what[0], f"{notebook}_{name}", what[1], self.figures_dir)
        return [path.name for path in saved]

    def export_results(self) -> list[str]:
        """Write every seed's mAP as CSV, and beside it what it is computed from, one row a query."""
        name = "_".join(filter(None, ("results", self.out.name, self.part)))
        path = self.figures_dir / f"{name}.csv"
        results.write_results_csv(self.results_dir, path)
        return [path.name, f"{path.stem}_queries.parquet"]
