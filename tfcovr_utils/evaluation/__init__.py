"""Evaluation: what a fitted method scores on a benchmark, and what all results say. It draws nothing.

`scoring` gives a row a query, `rows` fits and keeps, `saved` is the disk, `results` sums up, `comparisons`
compares. `recalls` has other fields' measures, `paper` the paper's numbers, `qualitative` queries to look at,
`asking` single questions, `stage1_report` the encoders; `exchange/` writes the files of other projects.
"""
