"""Asking a language model for modifications, through OpenAI's protocol.

`prompt` makes a request, `dialogue` follows the answers about one pair, `cache` keeps every answer, `bill`
counts what was paid, `batch` hands requests in as a batch, and `model` runs all of it.
"""
