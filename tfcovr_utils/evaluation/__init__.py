"""Evaluation: what a fitted method scores on a benchmark, and what all results say.

It knows benchmarks, methods and metrics, and draws nothing. `scoring` gives a row for each query, `rows`
fits, scores and keeps, `saved` holds results on disk, `results` sums them up, `comparisons` compares rows.
`recalls` has what other fields report, `paper` the paper's numbers, `qualitative` the queries to look at,
`asking` single questions, `stage1_report` the encoders; `exchange/` writes the files of other projects.
"""
