# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     notebook_metadata_filter: kernelspec,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 01 Dataset statistics
#
# What is in the benchmark, and does it take time, not a single frame, to tell its labels apart?
#
# Reads nothing: the benchmark renders itself (kept under `data/benchmarks/`, so only the first run pays).
# Writes `runs/<profile>/figures/01_*`. Two cores: about 1 minute under `smoke`; under `mini` about 2 minutes to render, then 6.

# %%
import textwrap
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from tfcovr_utils import mini, plots
from tfcovr_utils.frames import read_clips
from tfcovr_utils.mini import probe
from tfcovr_utils.mini.build import measure
from tfcovr_utils.profiles import get_profile, provenance, runs_dir

# %% tags=["parameters"]
profile = "mini"  # smoke, mini or sim
seed = 0  # of the probes' training; the rendering has its own
render_seed = 0  # of the rendering

# %%
profile = replace(get_profile(profile), render_seed=render_seed)
folder = mini.build(profile, progress=False)
display(Markdown(f"`{provenance(profile, seed)}`  \ntorch {torch.__version__}, {torch.get_num_threads()} threads, no GPU needed"))

# %% [markdown]
# ## What there is
# Three tables describe a rendering: `clips` and `labels`, as every source gives them, and `factors`, which only a
# rendered benchmark can have: what each clip was made from.

# %%
clips, labels, factors = (pd.read_parquet(folder / f"{name}.parquet") for name in ("clips", "labels", "factors"))
table = clips.merge(factors, on="clip_id").merge(labels[["label_id", "text", "event"]], on="label_id")
table["seconds"] = table.end_s - table.start_s
table.groupby("split").agg(clips=("clip_id", "size"), labels=("label_id", "nunique"), sources=("source_video", "nunique"),
                           seconds=("seconds", "mean")).loc[["train", "val", "test"]].round(2)

# %%
cost = measure(profile, folder)
kinds = {name: sorted(factors[name].unique()) for name in ("apparatus", "family", "base", "direction", "shape", "saltos", "twists")}
display(Markdown(f"{len(labels)} labels, {len(clips):,} clips, {clips.source_video.nunique()} source videos. A clip takes "
                 f"{cost['render ms']:.1f} ms to render, {cost['encode ms']:.1f} to encode, {cost['decode ms']:.1f} to decode "
                 f"{profile.frames} frames of, and {cost['bytes']:,.0f} bytes (medians, one process)."))
pd.DataFrame({"values": {name: ", ".join(f"{v:g}" if isinstance(v, float) else v or "-" for v in values)
                         for name, values in kinds.items()}})

# %% [markdown]
# *What to notice.* Every label is a combination of a few factors, written in the words of FineGym or as a dive code.
# The same counts, shapes and directions return on several apparatus: that is what lets an instruction change one of them.

# %% [markdown]
# ## To the eye
# Each row is one test clip, read back from its mp4 file: the first of its label, by name. First, twists.

# %%
first = table[table.split == "test"].sort_values("clip_id").groupby("label_id").first().sort_values(["saltos", "twists"])
stretched = first.query("apparatus == 'FX' and base == 'salto' and direction == 'backward' and shape == 'stretched'")
plots.contact_sheet({f"{row.twists:g} twists": read_clips([folder / row.path], 12)[0] for row in stretched.itertuples()})

# %% [markdown]
# *What to notice.* The bright chest with its dot and the dark back with its stripe take turns: count them. The somersault is the same in
# every row. The athlete, the hall and the camera are others in every source, and either way of travelling occurs.
#
# Now one apparatus, with one somersault or two, tucked, piked and stretched, backward and forward.

# %%
untwisted = first.query("apparatus == 'FX' and base == 'salto' and twists == 0")
plots.contact_sheet({f"{row.saltos:g} {row.direction}\n{row.shape}": read_clips([folder / row.path], 12)[0] for row in untwisted.itertuples()})

# %% [markdown]
# *What to notice.* Tucked is a ball, piked a folded knife. Backward, the athlete's back leads the way; forward, the chest does.
# Two somersaults pass upside-down twice in the time in which one passes it once.
#
# Last, one label of each other kind.

# %%
others = first[(first.base != "salto") | (first.apparatus != "FX")].groupby(["apparatus", "family"]).last()
plots.contact_sheet({textwrap.fill(row.text, 34): read_clips([folder / row.path], 12)[0] for row in others.itertuples()})

# %% [markdown]
# ## Labels, clips, durations

# %%
counts = table.groupby(["dataset", "label_id", "event", "family", "text"]).size().reset_index(name="clips")
tree = plots.label_tree(counts)
tree

# %%
long_tail = plots.label_counts(counts)
long_tail

# %% [markdown]
# *What to notice.* `mini` is flat on purpose: with few clips, a long tail would mean labels that nobody can learn. `sim` has FineGym's tail.

# %%
seconds = plots.durations(table[["dataset", "seconds"]])
seconds

# %%
by_count = plots.factor_table(table.assign(skill=table.apparatus + " " + table.family), "skill", "twists")
by_count

# %%
by_salto = plots.factor_table(table.assign(skill=table.apparatus + " " + table.family), "skill", "saltos")
by_salto

# %% [markdown]
# ## The split
# A source video is one hall, one athlete, one camera. If a source stood in two splits, a model could find a clip by its
# wallpaper. So whole sources are split, never clips.

# %%
shared = clips.groupby("source_video").split.nunique()
crossing = pd.crosstab(clips.split, clips.dataset, values=clips.source_video, aggfunc="nunique")
display(Markdown(f"Sources in more than one split: **{(shared > 1).sum()}** of {len(shared)}."))
crossing

# %% [markdown]
# ## Are there shortcuts?
# A *group* is a set of labels that share every factor but one count. If something other than motion told the count, a small network
# shown only that would beat chance inside the groups. Each probe trains on training sources and is scored on the others.
#
# One frame first: the middle one, for every group there is. To have many clips to be scored on, a third of all sources is held out.

# %%
label_idx = pd.factorize(clips.label_id)[0]
factors = factors.set_index("clip_id").loc[clips.clip_id].reset_index()
groups = {count: probe.count_groups(factors, count) for count in probe.COUNTS}
third = pd.factorize(clips.source_video)[0] % 3 == 0
middle = read_clips([folder / path for path in clips.path], 1, "middle")
rows = [probe.run("one frame, the middle", count, middle, label_idx, groups[count], third, epochs=profile.probe_epochs, seed=seed) for count in groups]
pd.DataFrame(rows).round(3)

# %% [markdown]
# Next, the athlete is painted out: four frames of the hall, the apparatus and the camera's path. Now a *group* is an apparatus, and the
# probe is asked for the label, and by it for each factor. Chance for a factor is its most frequent value.

# %%
sample = clips.groupby("label_id").sample(frac=min(1., 2000 / len(clips)), random_state=0).index
halls = np.stack([mini.render_hall(factors.apparatus[row], clips.clip_id[row], clips.source_video[row], render_seed) for row in sample])
hidden = probe.run_hall(halls, factors.loc[sample], label_idx[sample], third[sample], epochs=profile.probe_epochs, seed=seed)
hidden.round(3)

# %% [markdown]
# Then all frames, in order and shuffled, on saltos and dives, where counts matter most. Both see the same frames of the
# same clips for as long; only the order is gone, while training and when scored.

# %%
aerial = np.flatnonzero(factors.family.isin(["salto", "dive"]) & ((groups["saltos"] >= 0) | (groups["twists"] >= 0)))
frames = read_clips([folder / path for path in clips.path[aerial]], profile.frames)
held_out = (clips.split != "train").to_numpy()[aerial]
for name, shuffle in (("all frames, in order", False), ("all frames, shuffled", True)):
    rows += [probe.run(name, count, frames, label_idx[aerial], groups[count][aerial], held_out, epochs=profile.probe_epochs, shuffle_frames=shuffle, seed=seed)
             for count in groups]
probes = pd.DataFrame(rows)
probes.round(3)

# %%
reading = plots.probe_accuracy(probes)
reading

# %%
accuracy = probes.set_index(["probe", "count"])
said = [f"{count}: {name} {accuracy.accuracy[name, count]:.0%} where chance is {accuracy.chance[name, count]:.0%}" for name, count in accuracy.index]
display(Markdown("*What to notice.* Within groups that differ in one count alone: " + "; ".join(said) + "."))

# %% [markdown]
# One frame should read nothing and all frames in order nearly everything. Shuffled frames may still tell some twist from none (the
# chest shows itself), but not how many. Under `smoke` there are too few clips for any probe to learn.

# %% [markdown]
# ## Checks

# %%
if profile.labels != "smoke":
    assert all(abs(accuracy.accuracy["one frame, the middle"] - accuracy.chance["one frame, the middle"]) < .05)
    assert all(accuracy.accuracy["all frames, in order"] >= .9)
    assert all(accuracy.accuracy["all frames, shuffled"] < accuracy.accuracy["all frames, in order"] - .2)
    assert all(hidden.accuracy[1:] < hidden.chance[1:] + .05) and hidden.accuracy[0] > .9
assert (shared == 1).all() and not any(mini.check(folder).values())
assert clips.clip_id.is_unique and (table.groupby("label_id").split.nunique() == 3).all()
assert not any(pd.Series(labels["attributes"]).str.contains(r'"residue": "[^"]'))

# %% [markdown]
# ## Export

# %%
figures = runs_dir(profile) / "figures"
written = [path for name, figure, drawn_from in (("01_label_tree", tree, counts), ("01_label_counts", long_tail, counts),
                                                 ("01_shortcuts", reading, probes))
           for path in plots.save_figure(figure, name, drawn_from, figures)]
[path.name for path in written]

# %% [markdown]
# Next: `02_label_pairing` asks which of these labels form a query and its answer.
