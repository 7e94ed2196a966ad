"""What only the frozen program needs."""
