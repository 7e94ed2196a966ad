"""The stores that events can be kept in, one module each, and the suite that every one of them has to pass."""
