"""Cells of the library that the flows choose themselves, by name; those that components of the RTL stand for are in
`fineq_asic.mapping.placed_cells`, with their pins."""

BUFFERS = ("BUF_X1", "BUF_X2", "BUF_X4", "BUF_X8")
"""For loads, smallest first; input `A`, output `Z`."""

INVERTER = "INV_X1"
"""Input `A`, output `ZN`."""

TIES = {"0": "LOGIC0_X1", "1": "LOGIC1_X1"}
"""By the constant that they give at `Z`."""

DRIVING_CELL = "BUF_X2"
"""What drives a piece of logic while it is mapped."""

CLOCK_GATE = "CLKGATE_X1"
"""The smallest; clock `CK`, enable `E`, gated clock `GCK`."""

FILLERS = ("FILLCELL_X32", "FILLCELL_X16", "FILLCELL_X8", "FILLCELL_X4", "FILLCELL_X2", "FILLCELL_X1")
"""For the gaps of a layout."""

DONT_USE = ("*_X16", "*_X32", "TBUF*", "TINV*", "TLAT*", "SDFF*", "OAI33*")
"""Patterns, as the tools take them, of cells that no tool may choose: very large, three-state, scan, very slow."""
