"""One file per model library."""
