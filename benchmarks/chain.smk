# The chain as a workflow: `lanes` independent lanes of `steps` rules, each making a file from the one before.
# A file lists when each step ran, so the last one of a lane tells the story of the lane.

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
        shell:
            "{{ cat {input} /dev/null; date +%s.%N; }} > {output}"
