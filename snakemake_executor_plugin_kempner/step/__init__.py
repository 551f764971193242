"""The program inside a Slurm job, around the rule's own Snakemake process."""
