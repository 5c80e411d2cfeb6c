"""One model, many machines: each quantizes a part into a shared directory, and one puts the parts together.

`parts` says what a part is and where it lies, `work` makes one, `merge` makes the checkpoint of all of them, with the
bytes that one process would have written. `cluster` does any work on the machines of a Ray cluster, `spread` makes all
parts there, `blocks` calibrates there.
"""
