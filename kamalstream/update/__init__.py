"""Pulling a newer template into an app whose owner has edited what was rendered."""
