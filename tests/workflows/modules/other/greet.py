"""Write the greeting that the rule was given."""

from pathlib import Path

Path(snakemake.output[0]).write_text(f"{snakemake.params.greeting}\n")  # noqa: F821
