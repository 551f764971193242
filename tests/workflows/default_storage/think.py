with open(snakemake.input[0]) as asked, open(snakemake.output[0], "w") as thought:
    thought.write(asked.read() + "thought\n")
