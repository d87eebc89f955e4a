"""The nouns of a spec: one file each, fields with their short forms."""
