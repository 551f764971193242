# A wide workflow: `tasks` jobs of which half make a file each from a common one, half a file from each of those, and one
# collects them. Nothing of it ever runs: what is measured is the time until it could.
# `shape=declared`: each b waits for its a by `slurm_dependency` instead of an input. `shape=windows`: each b reads 20 of them.

LANES = range(int(config["tasks"]) // 2)
SHAPE = config.get("shape", "inputs")
IS_DECLARED = SHAPE == "declared"
WINDOW = 20


def window(wildcards):
    first = int(wildcards.lane)
    return [f"a/{lane % len(LANES)}.txt" for lane in range(first, first + WINDOW)]


rule end:
    input:
        expand("b/{lane}.txt", lane=LANES),
        expand("a/{lane}.txt", lane=LANES if IS_DECLARED else []),
    output:
        "end.txt",
    resources:
        mem_mb=2000,
        runtime=20,
    shell:
        "cat {input} > {output}"


rule a:
    input:
        "common.txt",
    output:
        "a/{lane}.txt",
    threads: 2
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "cp {input} {output}"


rule b:
    input:
        window if SHAPE == "windows" else "common.txt" if IS_DECLARED else "a/{lane}.txt",
    output:
        "b/{lane}.txt",
    threads: 2
    resources:
        mem_mb=1000,
        runtime=10,
        **({"slurm_dependency": "afterany:a"} if IS_DECLARED else {}),
    shell:
        "cp {input} {output}"
