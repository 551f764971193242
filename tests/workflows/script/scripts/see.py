"""Write down all that the rule told this script."""

from pathlib import Path

task = snakemake  # noqa: F821
seen = (
    Path(task.input[0]).read_text().strip(),
    task.wildcards.name,
    task.params.number,
    task.threads,
    task.resources.share,
    task.config["title"],
    task.rule,
)
Path(task.output[0]).write_text("\n".join(map(str, seen)) + "\n")
