"""What every room shares: the error for bad input, progress, atomic files, cache keys, Markdown tables, tools."""
