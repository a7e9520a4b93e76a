"""Adopts whole apps, one after the other, and judges each by what the real programs make of it."""
