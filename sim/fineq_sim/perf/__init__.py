"""The cycle-level simulator: how long a job takes on the accelerator, stage by stage, without any data.

Two engines: `twin` has every ready/valid register of the machine and is exact, `tile` works times out filling by
filling. `exactness` holds the first against the RTL (docs/hardware/simulator.md).
"""
