"""The edge to Slurm: its words, its output, its commands. Knows nothing of plans."""
