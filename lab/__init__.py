"""The call lab: a library that holds AI phone calls on this machine. It never draws; callctl does."""
