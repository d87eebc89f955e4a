"""Values into text: for a terminal, for a pipe, or as JSON. Nothing here decides or asks."""
