"""Embeddings of clips and texts by an encoder, on disk. Knows encoders and videos, and nothing of methods.

`embed` decides what to embed and reads it back; `batches` decodes ahead and encodes; `store` keeps rows by a
hash of their content; `descriptions` has a captioner describe clips; `galleries` searches millions of rows on
disk.
"""
