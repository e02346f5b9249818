"""Measuring the engines on this machine: what they get right, what they make up, what they cost."""
