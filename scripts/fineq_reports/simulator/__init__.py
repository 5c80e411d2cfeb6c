"""Reports of the cycle-level simulator: studies, the paper's evaluation beside ours, explorations."""
