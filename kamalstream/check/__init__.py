"""Checks what was rendered, from its text and with the real programs."""
