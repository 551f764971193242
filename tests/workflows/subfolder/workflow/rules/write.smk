rule write:
    output:
        "results/written.txt",
    params:
        word=config["word"],
    script:
        "../scripts/write.py"
