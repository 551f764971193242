"""Write the page to read first."""

import json
import os
from pathlib import Path


def summary(best: dict, metrics: list[dict], images: dict[str, str]) -> str:
    rows = "\n".join(
        f"| {row['stage']} | {row['epochs']} | {row['accuracy']:.1%} | {row['macro_f1']:.3f} |" for row in metrics
    )
    worst = metrics[-1]["worst_confusion"]
    pictures = "\n".join(f"![{title}]({path})" for title, path in images.items())
    return f"""\
# Summary

The best of {best["runs"]} runs of the sweep: {best["width"]} hidden units, learning rate {best["learning_rate"]:g},
{best["accuracy"]:.1%} on validation data. This is model 0; each further model trains on from the one before.

| model | epochs | test accuracy | macro F1 |
|--:|--:|--:|--:|
{rows}

Most frequent mistake of the last model: {worst["digit"]} taken for {worst["mistaken_for"]}, {worst["count"]} times.

{pictures}
"""


output = Path(snakemake.output[0])
images = {"Sweep": "sweep", "Learning curves": "curves", "Confusion matrix": "confusion"}
output.write_text(
    summary(
        json.loads(Path(snakemake.input.best).read_text()),
        [json.loads(Path(path).read_text()) for path in snakemake.input.metrics],
        {title: os.path.relpath(snakemake.input[name], output.parent) for title, name in images.items()},
    )
)
