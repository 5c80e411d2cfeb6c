"""Sub-commands of `fineq` that come with the quantizer.

They import inside their functions, so that `fineq --help` answers at once. Bad input raises a
`fineq.common.errors.UserError`; `fineq.cli` prints it, as it does for files that cannot be read or written.
"""
