"""Sub-commands of `fineq` that measure, draw and report, in the rooms of docs/project/commands.md."""
