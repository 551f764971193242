# a[i] → b[i] for each i up to `pairs`, and one task behind all b: 2 × pairs + 1 tasks. Each a[i] may be tried `retries` times more.


rule end:
    input:
        expand("b/{i}.txt", i=range(1, int(config["pairs"]) + 1)),
    output:
        "end.txt",
    shell:
        "touch {output}"


rule b:
    input:
        "a/{i}.txt",
    output:
        "b/{i}.txt",
    shell:
        "touch {output}"


rule a:
    output:
        "a/{i}.txt",
    retries: int(config.get("retries", 0))
    shell:
        "touch {output}"
