# The diamond as a workflow: one task, `width` tasks behind it, and one behind all of those. A file says when its task ran.

WIDTH = range(1, int(config["width"]) + 1)


rule last:
    input:
        expand("middle{i}.txt", i=WIDTH),
    output:
        "last.txt",
    shell:
        "date +%s.%N > {output}"


rule middle:
    input:
        "first.txt",
    output:
        "middle{i}.txt",
    shell:
        "date +%s.%N > {output}"


rule first:
    output:
        "first.txt",
    shell:
        "date +%s.%N > {output}"
