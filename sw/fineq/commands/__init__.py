"""Subcommands of `fineq`. Each module here has `register(app)`, which adds its command to the typer app.

Modules import heavy libraries inside their functions, so that `fineq --help` answers at once.
"""
