"""Proves that the backups restore: replicate, lose, restore, compare."""
