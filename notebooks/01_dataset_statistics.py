# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     notebook_metadata_filter: kernelspec,tfcovr,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
#   tfcovr:
#     concurrent: true
# ---

# %% [markdown]
# # 01 Dataset statistics
#
# What is in the benchmark, and does it take time, not a single frame, to tell its labels apart?
#
# Reads nothing by default: `mini` renders itself, once, under `data/benchmarks/`. With `source = "tfcovr"` it reads the owners'
# annotation files and leaves out what needs clips. Writes `runs/<profile>/figures/01_*`.
# Two cores: half a minute under `smoke`; under `mini` two minutes to render the first time, and one to look for shortcuts.

# %%
import textwrap
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from tfcovr_utils import rendering, plots
from tfcovr_utils.benchmark.statistics import count
from tfcovr_utils.embedding.embed import embed_clips
from tfcovr_utils.encoders import load_encoder
from tfcovr_utils.video.frames import read_clips
from tfcovr_utils.labels import Attributes
from tfcovr_utils.rendering import shortcuts
from tfcovr_utils.profiles import ROOT, annotations_dir, get_profile, provenance, runs_dir
from tfcovr_utils.sources import load_source
from tfcovr_utils.benchmark.benchmark import Benchmark

# %% tags=["parameters"]
profile = "mini"  # smoke, mini or sim
seed = 0  # of the probes' training; the rendering has its own
source = "mini"  # mini, or the real annotations: tfcovr, finegym, finediving
annotations = None  # folder of the real annotation files; None takes $TFCOVR_ANNOTATIONS
render_seed = 0  # of the rendering

# %%
profile = replace(get_profile(profile), render_seed=render_seed)
rendered = source == "mini"
folder = rendering.build(profile, progress=False) if rendered else annotations_dir(annotations)
benchmark = Benchmark.build(load_source(source, folder))
figures = plots.figures_dir(runs_dir(profile, source), seed)
display(Markdown(f"source **{source}**, profile **{profile.name}**, torch {torch.__version__}  \n`{provenance(profile, seed, source=source)}`"))

# %% [markdown]
# ## What there is
# Every source gives the same tables. A *source video* is one recording: all its clips stand in one split.

# %%
attributes = pd.DataFrame([asdict(Attributes.from_json(text)) for text in benchmark.labels.attributes])
labels = benchmark.labels.assign(family=attributes.family)
table = benchmark.clips.merge(labels[["label_id", "text", "event", "family"]], on="label_id")
table["seconds"] = table.end_s - table.start_s
size = {"clips": ("clip_id", "size"), "labels": ("label_id", "nunique"), "source videos": ("source_video", "nunique"), "mean seconds": ("seconds", "mean")}
table.groupby(["dataset", "split"]).agg(**size).round(2)

# %% [markdown]
# Beside the figures that the paper gives in its text, and then its Table 1 (`data/paper/`):

# %%
counted = count(benchmark)
ours = {"labels": counted["labels"], "training triplets": counted["triplets_unique"], "test queries": counted["queries"].get("test", 0),
        "valid targets a query": counted["targets_per_query"].get("test capped", {}).get("mean"),
        "words a text": counted["text_words_of_triplets"]["mean"], "mean seconds a clip": counted["clip_seconds"]["mean"]}
paper = counted["paper"]
theirs = {"labels": paper["labels"], "training triplets": paper["triplets"], "test queries": paper["queries"]["test"],
          "valid targets a query": paper["targets_per_query"]["test capped"]["mean"], "words a text": paper["text_words"]["mean"],
          "mean seconds a clip": paper["clip_seconds"]["mean"]}
pd.DataFrame({"here": ours, "paper": theirs}).map("{:,.6g}".format)

# %%
pd.read_csv(ROOT / "data" / "paper" / "table_1.csv", keep_default_na=False)

# %% [markdown]
# ## Labels, clips, durations

# %%
counts = table.groupby(["dataset", "label_id", "event", "family", "text"]).size().reset_index(name="clips")
largest = counts.sort_values("clips", ascending=False).groupby("family").head(12)
tree = plots.label_tree(counts if len(counts) < 80 else largest)
tree

# %%
long_tail = plots.label_counts(counts)
long_tail

# %% [markdown]
# *What to notice.* FineGym's labels run from a handful of clips to over a thousand. `mini` is flat on purpose: with few clips, a long
# tail would mean labels that nobody can learn. `sim` has the tail.

# %%
seconds = plots.durations(table[["dataset", "seconds"]])
seconds

# %%
described = table[["clip_id", "label_id"]].merge(attributes.assign(label_id=labels.label_id), on="label_id")
described["skill"] = described.apparatus + " " + described.family
by_twists = plots.factor_table(described, "skill", "rotation")
by_twists

# %%
by_saltos = plots.factor_table(described.fillna({"saltos": 0}), "skill", "saltos")
by_saltos

# %% [markdown]
# ## The split
# If a source stood in two splits, a model could find a clip by its wallpaper. So whole sources are split, never clips.

# %%
shared = benchmark.clips.groupby("source_video").split.nunique()
display(Markdown(f"Sources in more than one split: **{(shared > 1).sum()}** of {len(shared)}. The doctor's report:"))
report = benchmark.check()
report[report["count"] > 0] if (report["count"] > 0).any() else Markdown("nothing wrong.")

# %% [markdown]
# ## To the eye
# From here to the checks only a rendered benchmark has something to show: other sources come without clips, or without factors.
# Each row is one test clip of `mini`, read back from its mp4 file: the first of its label, by name. First, twists.

# %%
factors = pd.read_parquet(folder / "factors.parquet") if rendered else pd.DataFrame(columns=["clip_id", *shortcuts.FACTORS, *shortcuts.COUNTS])
clips = benchmark.clips.merge(factors, on="clip_id").merge(labels[["label_id", "text"]], on="label_id")
first = clips[clips.split == "test"].sort_values("clip_id").groupby("label_id").first().sort_values(["saltos", "twists"])
stretched = first.query("apparatus == 'FX' and base == 'salto' and direction == 'backward' and shape == 'stretched'")
if rendered:
    display(twists := plots.contact_sheet({f"{row.twists:g} twists": read_clips([folder / row.path], 12)[0] for row in stretched.itertuples()}))

# %% [markdown]
# *What to notice.* The bright chest with its dot and the dark back with its stripe take turns: count them. The somersault is the same
# in every row. Athlete, hall and camera change from source to source; either way of travelling occurs.
#
# Now one apparatus: one somersault or two, tucked, piked, stretched, backward, forward.

# %%
untwisted = first.query("apparatus == 'FX' and base == 'salto' and twists == 0")
if rendered:
    display(plots.contact_sheet({f"{row.saltos:g} {row.direction}\n{row.shape}": read_clips([folder / row.path], 12)[0] for row in untwisted.itertuples()}))

# %% [markdown]
# *What to notice.* Tucked is a ball, piked a folded knife. Backward, the athlete's back leads the way; forward, the chest does.
# Two somersaults pass upside-down twice in the time in which one passes it once.
#
# Last, one label of each other kind.

# %%
others = first[(first.base != "salto") | (first.apparatus != "FX")].groupby(["apparatus", "family"]).last()
if rendered:
    display(plots.contact_sheet({textwrap.fill(row.text, 34): read_clips([folder / row.path], 12)[0] for row in others.itertuples()}))

# %% [markdown]
# ## Are there shortcuts?
# A *group* is a set of labels that share every factor but one count. If something other than motion told the count, a small network
# shown only that would beat chance inside the groups. Each probe trains on some sources and is scored on others.
#
# One frame first: the middle one, of half the clips of every group there is. To be scored on many, a third of all sources is held out.

# %%
rows, label_idx = [], pd.factorize(clips.label_id)[0]
groups = {count: shortcuts.count_groups(clips, count) for count in shortcuts.COUNTS}
third = pd.factorize(clips.source_video)[0] % 3 == 0
if rendered:
    half = clips[(groups["saltos"] >= 0) | (groups["twists"] >= 0)].groupby("label_id").sample(frac=.5, random_state=0).index
    middle = read_clips([folder / path for path in clips.path[half]], 1, "middle")
    rows = shortcuts.find_count_shortcuts("one frame, the middle", middle, label_idx[half], {count: group[half] for count, group in groups.items()}, third[half],
                     epochs=profile.probe_epochs, seed=seed)
pd.DataFrame(rows).round(3)

# %% [markdown]
# Next, the athlete is painted out: four frames of the hall, the apparatus and the camera's path. Now a group is an apparatus, and the
# probe is asked for the label, and by it for each factor. Chance is a factor's most frequent value.

# %%
hidden = pd.DataFrame()
if rendered:
    sample = clips.groupby("label_id").sample(frac=min(1., 2000 / len(clips)), random_state=0).index
    halls = np.stack([rendering.render_hall(clips.apparatus[row], clips.clip_id[row], clips.source_video[row], render_seed) for row in sample])
    hidden = shortcuts.find_hall_shortcuts(halls, clips.loc[sample], label_idx[sample], third[sample], epochs=profile.probe_epochs, seed=seed)
hidden.round(3)

# %% [markdown]
# Then all frames, in order and shuffled, on saltos and dives, where counts matter most, each frame as the frozen CLIP of the profile sees it. Both
# probes see the same frames of the same clips for as long; only the order is gone, while training and when scored.

# %%
if rendered:
    aerial = np.flatnonzero(clips.family.isin(["salto", "dive"]) & ((groups["saltos"] >= 0) | (groups["twists"] >= 0)))
    frames = embed_clips(load_encoder("clip", profile.clip_weights, read_out="pooled"), clips.iloc[aerial], folder, frames=profile.frames, progress=False).values.numpy()
    held_out = (clips.split != "train").to_numpy()[aerial]
    for name, shuffle in (("all frames, in order", False), ("all frames, shuffled", True)):
        rows += shortcuts.find_count_shortcuts(name, frames, label_idx[aerial], {count: group[aerial] for count, group in groups.items()}, held_out,
                          epochs=profile.probe_epochs, shuffle_frames=shuffle, seed=seed)
probes = pd.DataFrame(rows)
probes.round(3)

# %%
if rendered:
    accuracy = probes.set_index(["probe", "count"])
    said = [f"{count}: {name} {accuracy.accuracy[name, count]:.0%} where chance is {accuracy.chance[name, count]:.0%}" for name, count in accuracy.index]
    display(reading := plots.probe_accuracy(probes), Markdown("*What to notice.* Within groups that differ in one count alone: " + "; ".join(said) + "."))

# %% [markdown]
# The middle frame should read nothing and all frames in order nearly everything. Shuffled frames tell part of it: how often a pose occurs depends on
# the count, so a reader of many poses guesses it without their order, and less surely. Under `smoke` there are too few clips for any probe to learn.

# %% [markdown]
# ## Checks

# %%
assert (shared == 1).all() and benchmark.clips.clip_id.is_unique
assert counted["labels_with_residue"] == 0 and counted["missing_valid_targets"] == 0
if rendered:
    assert not any(rendering.check(folder).values())
if rendered and profile.labels != "smoke":
    one_frame = accuracy.loc["one frame, the middle"]
    assert all(abs(one_frame.accuracy - one_frame.chance) < 3 * np.sqrt(one_frame.chance * (1 - one_frame.chance) / one_frame.clips))
    assert all(accuracy.accuracy["all frames, in order"] >= .9)
    assert all(accuracy.accuracy["all frames, shuffled"] < accuracy.accuracy["all frames, in order"] - .05)
    assert all(hidden.accuracy[1:] < hidden.chance[1:] + .05) and hidden.accuracy[0] > .9

# %% [markdown]
# ## Export

# %%
export = {"01_label_tree": (tree, counts), "01_label_counts": (long_tail, counts), "01_durations": (seconds, table[["dataset", "seconds"]])}
if rendered:
    export |= {"01_shortcuts": (reading, probes), "01_twists": (twists, stretched[["text", "path"]])}
plots.save_table(pd.DataFrame({"here": ours, "paper": theirs}).rename_axis("count").reset_index(), "01_counts", figures)
[path.name for name, (figure, drawn_from) in export.items() for path in plots.save_figure(figure, name, drawn_from, figures)]

# %% [markdown]
# Next: `02_label_pairing` asks which of these labels form a query and its answer.
