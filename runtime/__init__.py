"""What does things: values, the Runtime protocol and one package for each backend."""
