"""The machine: files, processes and memory. This room knows neither video nor models.

`files` writes whole files, locks and manifests; `tensors` writes weights and checkpoints; `hashing` hashes
what results are made from; `workers` starts worker processes; `processes` runs several ranks as one; `memory`
measures free memory.
"""
