"""Changes files that belong to the app: only the lines it means to, or none."""
