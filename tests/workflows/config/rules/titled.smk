rule titled:
    output:
        "titled.txt",
    params:
        title=config["title"],
        author=config["author"],
    shell:
        "echo {params.title:q} by {params.author:q} > {output}"
