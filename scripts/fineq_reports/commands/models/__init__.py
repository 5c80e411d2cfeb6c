"""Commands that measure models: accuracy, the sweep over model types, the plan for a large one."""
