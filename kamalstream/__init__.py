"""Rails 8 on SQLite to a Kamal 2 deployment whose data survives the loss of its server."""
