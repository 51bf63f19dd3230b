"""The paper authors' TF-CoVR release, read and written.

`released` reads the whole release and exports a Benchmark as one; `csv_files` and `embedding_files` read and
write its files; `release_tables` turns rows of the CSVs into a Benchmark's tables.
"""
