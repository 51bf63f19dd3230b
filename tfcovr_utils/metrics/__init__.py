"""Retrieval metrics, one value a query, of arrays of scores and ids; nothing of clips, models or benchmarks.

`ranking` has AP@K, recall, hit, first rank; `official` the authors' evaluation; `intervals` the bootstrap.
"""
