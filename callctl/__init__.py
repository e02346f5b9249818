"""The command line over the lab: thin, and the only place that draws."""
