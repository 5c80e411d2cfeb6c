"""The accuracy tables and figures of the paper, for any models (baselines.md, decisions.md in docs/quantizer)."""
