"""One file per way to carry a call."""
