"""From RTL to library cells: what is mapped, by which commands, until the clock is met."""
