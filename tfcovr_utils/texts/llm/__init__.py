"""Asking a language model for modifications, through OpenAI's protocol.

`dialogue` makes the requests about one pair and follows their answers, `cache` keeps every answer, `bill`
counts what was paid, `batch` hands requests in as a batch, and `model` runs all of it.
"""
