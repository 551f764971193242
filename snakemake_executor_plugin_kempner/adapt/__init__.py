"""Snakemake's classes → our values, and back. Only this folder and `executor.py` know Snakemake."""
