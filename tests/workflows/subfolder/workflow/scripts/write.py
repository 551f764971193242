"""Write the word that the rule was given."""

from pathlib import Path

Path(snakemake.output[0]).write_text(f"{snakemake.params.word}\n")  # noqa: F821
