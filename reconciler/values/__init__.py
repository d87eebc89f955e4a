"""Parts of a project's spec as the runtime's values, one module per kind of object."""
