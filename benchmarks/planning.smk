# A wide workflow: `tasks` jobs of which half make a file each from a common one, half a file from each of those, and one
# collects them. Nothing of it ever runs: what is measured is the time until it could.

LANES = range(int(config["tasks"]) // 2)


rule end:
    input:
        expand("b/{lane}.txt", lane=LANES),
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
        "a/{lane}.txt",
    output:
        "b/{lane}.txt",
    threads: 2
    resources:
        mem_mb=1000,
        runtime=10,
    shell:
        "cp {input} {output}"
