"""The accuracy tables and figures of the paper, for any list of models (docs/baselines.md, docs/decisions.md)."""
