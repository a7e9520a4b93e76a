"""Renders the template into an app, through Copier."""
