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
# What instruction leads from one label to the other, what would a language model cost for it, and what benchmark results?
#
# Reads a source's clips and labels, and a model's answers kept under `data/modifications/`. Writes the benchmark's tables to
# `runs/<profile>/benchmark/` and `runs/<profile>/figures/03_*`. Half a minute on any machine; asks no server unless `writer = "openai"`.

# %%
import pandas as pd
from IPython.display import Markdown, display

from tfcovr_utils import rendering, plots
from tfcovr_utils.benchmark.statistics import PAPER, count
from tfcovr_utils.labels import Attributes
from tfcovr_utils.texts import Asking, check_table, count_words, describe, dry_run, make_jobs, write_by_model, write_by_rule
from tfcovr_utils.labels.pairing import DECISIONS_PATH, pair_labels
from tfcovr_utils.profiles import annotations_dir, get_profile, provenance, runs_dir
from tfcovr_utils.sources import load_source
from tfcovr_utils.benchmark.benchmark import Benchmark

# %% tags=["parameters"]
profile = "mini"  # smoke, mini or sim
seed = 0  # of the training's draws elsewhere; the benchmark has its own below
source = "mini"  # mini, or the real annotations: tfcovr, finegym, finediving
annotations = None  # folder of the real annotation files; None takes $TFCOVR_ANNOTATIONS
writer = "rules"  # rules, or openai: asks a server, paid for by $OPENAI_API_KEY
model = "gpt-4o"  # any model of the server
base_url = "https://api.openai.com/v1"  # any server that speaks the protocol
benchmark_seed = 0  # of split, triplets and queries

# %%
profile = get_profile(profile)
folder = rendering.build(profile, progress=False) if source == "mini" else annotations_dir(annotations)
tables = load_source(source, folder)
labels, text = tables.labels, dict(zip(tables.labels.label_id, tables.labels.text))
out = runs_dir(profile, source)
display(Markdown(f"source **{source}**, writer **{writer}**  \n`{provenance(profile, seed, source=source, writer=writer, benchmark_seed=benchmark_seed)}`"))

# %% [markdown]
# ## Before the first call: what it would cost
# One text a directed pair of labels, never one a triplet. A dry run says what would be asked; answers that are already kept cost nothing.

# %%
pairs = pair_labels(labels, decisions=DECISIONS_PATH)
jobs = make_jobs(pairs, labels)
asking = Asking(model=model, base_url=base_url)
print(dry_run(jobs, asking))

# %%
written = write_by_model(jobs, asking) if writer == "openai" else write_by_rule(jobs)
tier = pairs.set_index(["source_label", "target_label"])[["tier", "kind", "changed"]]
examples = written.join(tier, on=["source_label", "target_label"]).groupby(["tier", "kind", "changed"]).first().head(14).reset_index()
examples.assign(query=examples.source_label.map(text), answer=examples.target_label.map(text))[["kind", "changed", "query", "text", "answer"]]

# %% [markdown]
# *What to notice.* A text says only what changes, and the answer's value, never the query's. The same skill elsewhere is one short phrase.
#
# ## Every text is checked, whoever wrote it
# Its numbers must be the answer's, words of apparatus, direction and shape stand exactly where they change, and read back together
# with the query's label it must lead to the answer's attributes.

# %%
complaints = check_table(written, labels)
display(Markdown(f"{len(written):,} texts, {len(complaints)} complaints."))
complaints.head()

# %%
words = written.text.map(count_words)
tiers = written.join(tier, on=["source_label", "target_label"]).tier
lengths = pd.concat([pd.DataFrame({"set": "tiers 1 and 2", "words": words[tiers < 3]}), pd.DataFrame({"set": "all tiers", "words": words})])
by_length = plots.text_lengths(lengths, PAPER["text_words"])
by_length

# %%
stated = lengths.groupby("set").words.agg(["min", "mean", "max", "size"])
stated.loc["the paper"] = [PAPER["text_words"]["min"], PAPER["text_words"]["mean"], PAPER["text_words"]["max"], None]
stated.round(2)

# %% [markdown]
# The sibling system reads *dense* texts, which also say what stays, and descriptions of clips. Both come from the labels' attributes here,
# and are named so.

# %%
dense = write_by_rule(make_jobs(pairs.head(1), labels, "dense"))
attributes = labels.set_index("label_id").attributes.map(Attributes.from_json)
display(Markdown(f"Query: {text[dense.source_label[0]]}  \nAnswer: {text[dense.target_label[0]]}"))
display(Markdown(f"> {dense.text[0]}\n\nDescription of the query, from its label: *{describe(attributes[dense.source_label[0]])}*"))

# %% [markdown]
# ## The benchmark
# Split by source, triplets within the training sources, queries with *all* their valid targets in the others.

# %%
benchmark = Benchmark.build(tables, seed=benchmark_seed, decisions=DECISIONS_PATH, modifications=written)
benchmark.save(out / "benchmark")
counted = count(benchmark)
steps = [("clips", f"{len(benchmark.clips):,} clips\n{len(labels)} labels"), ("pairs", f"{len(pairs):,} directed\n{counted['labels_paired']} labels"),
         ("texts", f"{len(written):,} written\n{len(complaints)} complaints"), ("triplets", f"{len(benchmark.triplets):,}\nfor training"),
         ("queries", f"{counted['queries'].get('test', 0)} test\n{counted['targets_per_query'].get('test capped', {}).get('mean', 0):.2f} targets each")]
flow = plots.pipeline(steps)
flow

# %%
pd.DataFrame({name: {"rows": len(getattr(benchmark, name)), "columns": ", ".join(getattr(benchmark, name).columns)}
              for name in ("clips", "labels", "pairs", "modifications", "triplets", "queries", "gallery", "targets")}).T

# %%
per_query = benchmark.targets.merge(benchmark.queries[["query_id", "split"]], on="query_id").groupby(["split", "gallery", "query_id"]).size()
per_query.groupby(["split", "gallery"]).describe()[["count", "mean", "min", "max"]].round(2)

# %%
answers = plots.targets_per_query(per_query.rename("targets").reset_index())
answers

# %% [markdown]
# *What to notice.* A query's targets are all clips of the gallery that satisfy query and text, so a right answer is never counted wrong.
#
# ## Checks

# %%
report = benchmark.check().set_index("problem")["count"]
assert len(complaints) == 0
assert not benchmark.triplets.duplicated(["query_clip", "target_clip", "modification_id"]).any()
assert report["sources shared between splits"] == 0 and report["missing valid targets"] == 0
assert set(benchmark.queries.split) == {"val", "test"}

# %% [markdown]
# ## Export

# %%
export = {"03_text_lengths": (by_length, lengths), "03_pipeline": (flow, pd.DataFrame(steps, columns=["step", "says"])),
          "03_targets": (answers, per_query.rename("targets").reset_index())}
[path.name for name, (figure, drawn_from) in export.items() for path in plots.save_figure(figure, name, drawn_from, plots.figures_dir(out, seed))]

# %% [markdown]
# Next: `04_stage1_temporal_pretraining` trains an encoder on these clips.
