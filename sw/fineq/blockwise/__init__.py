"""Calibrated recipes on models larger than the memory: one block of the model's files in memory at a time.

Every finished block lies in a journal, so that an interrupted run goes on where it was and ends with the same bytes.
"""

from __future__ import annotations

from fineq.blockwise.run import calibrate_blocks, journal_directory, open_calibration

__all__ = ["calibrate_blocks", "journal_directory", "open_calibration"]
