"""The image that the Dockerfile of an app builds."""
