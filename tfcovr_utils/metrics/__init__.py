"""Retrieval metrics, one value a query. Knows arrays of scores and ids, and nothing of clips, models or
benchmarks.

`ranking` ranks a gallery and computes AP@K, recall, hit and first rank; `official` repeats the authors'
evaluation, faults included; `intervals` averages over queries, with bootstrap intervals.
"""
