"""The move of a deployment from one server to another."""
