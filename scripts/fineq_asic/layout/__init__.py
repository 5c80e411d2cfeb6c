"""From a mapped netlist to a routed layout with OpenROAD: scripts, run, results, GDS and picture."""
