"""What the stores in SQL databases have in common: the columns of their rows, and how a search becomes a statement."""
