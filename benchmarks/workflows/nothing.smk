# `tasks` independent tasks whose command does nothing.


rule all:
    input:
        expand("nothing{i}.txt", i=range(1, int(config["tasks"]) + 1)),


rule nothing:
    output:
        touch("nothing{i}.txt"),
    shell:
        "true"
