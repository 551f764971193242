# A wide workflow: `tasks` jobs of which half make a file each from a common one, half a file from each of those, and one
# collects them. Nothing of it ever runs: what is measured is the time until it could.
# With `declared=yes`, each b waits for its a by `slurm_dependency` instead of an input.

LANES = range(int(config["tasks"]) // 2)
IS_DECLARED = bool(config.get("declared"))


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
        "common.txt" if IS_DECLARED else "a/{lane}.txt",
    output:
        "b/{lane}.txt",
    threads: 2
    resources:
        mem_mb=1000,
        runtime=10,
        **({"slurm_dependency": "afterany:a"} if IS_DECLARED else {}),
    shell:
        "cp {input} {output}"
