
rule all:
    input: "inside.txt", "outside.txt"
rule make:
    output: temp("inside.tmp"), temp("both.tmp"), temp("unread.tmp"), temp(directory("folder"))
    group: "pair"
    shell: "x"
rule inside:
    input: "inside.tmp", "both.tmp"
    output: "inside.txt"
    group: "pair"
    shell: "x"
rule outside:
    input: "both.tmp"
    output: "outside.txt"
    shell: "x"
