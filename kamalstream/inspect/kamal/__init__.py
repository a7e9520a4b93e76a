"""The deployment as Kamal reads it: its files, laid over one another, and what they make."""
