"""Names and passwords for registries, as Docker and podman keep them on this machine.

Both write a JSON file with the passwords, or with the names of programs that keep them
(`docker-credential-pass` and the like). Nothing is read before a registry asks for a login.
"""
