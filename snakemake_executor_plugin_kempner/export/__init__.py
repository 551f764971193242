"""A plan in other languages: bash, Graphviz, Mermaid."""
