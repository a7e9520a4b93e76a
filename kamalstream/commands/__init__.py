"""The commands of kamalstream, one module each."""
