"""What is to be submitted, as values. Pure: no clock, file, process or Snakemake in this folder."""
