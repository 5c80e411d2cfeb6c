"""Speed and memory as ratios to something run beside it: what `fineq bench` measures."""
