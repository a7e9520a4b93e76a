"""Reads a Rails app without running any of its code."""
