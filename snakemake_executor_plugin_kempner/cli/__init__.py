"""`kempner` on the command line: what became of a run, why, and what to do. Knows no Snakemake."""
