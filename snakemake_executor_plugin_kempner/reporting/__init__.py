"""What a run looked like over time: rows, a CSV, and a page with charts."""
