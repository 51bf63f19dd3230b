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
#     writes:
#     - benchmark/*
# ---

# %% [markdown]
# # 03 Modification generation
#
# What instruction leads from one label to the other, what would a language model cost for it, and what
# benchmark results?
#
# Reads a source's clips and labels, and a model's answers cached under `data/modifications/`. Writes the
# benchmark's tables to `runs/<source>/benchmark/`, and figures `03_*`. Half a minute on any machine; asks no
# server unless `writer = "openai"`.

# %%
import pandas as pd
from IPython.display import Markdown, display

from tfcovr_utils import open_study, plots
from tfcovr_utils.benchmark.statistics import PAPER, count, describe_targets, list_tables, text_lengths
from tfcovr_utils.labels import Attributes
from tfcovr_utils.texts import (
    Asking,
    check_table,
    describe,
    dry_run,
    make_jobs,
    write_by_model,
    write_by_rule,
)

# %% tags=["parameters"]
source = "mini"  # mini, smoke, sim, twin; tfcovr, released; folder, for your own clips
profile = None  # sizes and weights; None takes the source's own
seed = 0  # of the training
render_seed = 0  # of the rendering: another number is another benchmark
annotations = None  # folder of annotation files; None takes $TFCOVR_ANNOTATIONS
clips = None  # folder of the clips, such as your own; None takes $TFCOVR_CLIPS
writer = "rules"  # rules, or openai: asks a server, paid for by $OPENAI_API_KEY
model = "gpt-4o"  # any model of the server
base_url = "https://api.openai.com/v1"  # any server that speaks the protocol

# %%
study = open_study(source, seed, profile, render_seed, annotations, clips)
study.must_give("pairs")
study.summary(writer=writer)

# %% [markdown]
# ## Before the first call: what it would cost
# One text a directed pair of labels, never one a triplet. A dry run says what would be asked. Cached answers
# cost nothing.

# %%
labels, pairs, text = study.benchmark.labels, study.benchmark.pairs, study.labels.text
jobs = make_jobs(pairs, labels)
asking = Asking(model=model, base_url=base_url)
print(dry_run(jobs, asking))

# %%
written = write_by_model(jobs, asking) if writer == "openai" else write_by_rule(jobs)
ends = ["source_label", "target_label"]
told = written.merge(pairs[[*ends, "tier", "kind", "changed"]], on=ends)
examples = told.groupby(["tier", "kind", "changed"]).first().head(14).reset_index()
named = examples.assign(query=examples.source_label.map(text), answer=examples.target_label.map(text))
named[["kind", "changed", "query", "text", "answer"]]

# %% [markdown]
# *What to notice.* A text says only what changes, and gives the answer's value, never the query's. The same
# skill on another apparatus is one short phrase.
#
# ## Every text is checked, whoever wrote it
# Its numbers must be the answer's. Words for apparatus, direction and shape appear exactly when these
# change. Read back together with the query's label, it must lead to the answer's attributes.

# %%
complaints = check_table(written, labels)
display(Markdown(f"{len(written):,} texts, {len(complaints)} complaints."))
complaints.head()

# %%
lengths = text_lengths(told)
by_length = plots.text_lengths(lengths, PAPER["text_words"])
by_length

# %%
stated = lengths.groupby("set").words.agg(["min", "mean", "max", "size"])
stated.loc["the paper"] = PAPER["text_words"]
stated.round(2)

# %% [markdown]
# The sibling system reads *dense* texts, which also say what stays, and descriptions of clips. Here both
# come from the labels' attributes, and are named so.

# %%
if study.gives("attributes"):
    dense = write_by_rule(make_jobs(pairs.head(1), labels, "dense"))
    query, answer = dense.source_label[0], dense.target_label[0]
    attributes = Attributes.from_json(study.benchmark.labels.set_index("label_id").attributes[query])
    display(Markdown(f"Query: {text[query]}  \nAnswer: {text[answer]}\n\n> {dense.text[0]}"))
    display(Markdown(f"Description of the query, from its label: *{describe(attributes)}*"))

# %% [markdown]
# ## The benchmark
# Whole sources are split. Triplets come from the training sources, and queries, with *all* their valid
# targets, from the others.

# %%
study = open_study(source, seed, profile, render_seed, annotations, clips, written)
study.benchmark.save(study.out / "benchmark")
counted = count(study.benchmark)
steps = plots.pipeline_steps(counted, len(written), len(complaints))
flow = plots.pipeline(steps)
flow

# %%
list_tables(study.benchmark)

# %%
per_query = describe_targets(study.benchmark)
per_query.groupby(["split", "gallery"]).targets.describe()[["count", "mean", "min", "max"]].round(2)

# %%
answers = plots.targets_per_query(per_query)
answers

# %% [markdown]
# *What to notice.* A query's targets are all clips of the gallery that satisfy query and text, so a right
# answer is never counted as wrong.
#
# ## Checks

# %%
report = study.benchmark.check().set_index("problem")["count"]
assert len(complaints) == 0
assert not study.benchmark.triplets.duplicated(["query_clip", "target_clip", "modification_id"]).any()
assert report["sources shared between splits"] == 0 and report["missing valid targets"] == 0
assert set(study.benchmark.queries.split) == {"val", "test"}

# %% [markdown]
# ## Export

# %%
pipeline = (flow, pd.DataFrame(steps, columns=["step", "says"]))
study.export("03", text_lengths=(by_length, lengths), pipeline=pipeline, targets=(answers, per_query))

# %% [markdown]
# Next: `04_stage1_temporal_pretraining` trains an encoder on these clips.
