# The chain as a workflow: `lanes` independent lanes of `steps` rules, each waiting for the file of the one before.
# A file says when its task ran.

LANES = range(1, int(config["lanes"]) + 1)
STEPS = range(1, int(config["steps"]) + 1)


rule all:
    input:
        expand("lane{lane}/step{step}.txt", lane=LANES, step=STEPS[-1]),


for step in STEPS:

    rule:
        name:
            f"step{step}"
        input:
            [] if step == 1 else f"lane{{lane}}/step{step - 1}.txt",
        output:
            f"lane{{lane}}/step{step}.txt",
        params:
            sleep=config["sleep"],
        shell:
            "sleep {params.sleep}; date +%s.%N > {output}"
