"""JSON over HTTP, live events, and the page in a browser."""
