"""What the jobs of a run asked for, and what they used of it."""
