"""How commands that work on images reach registries: what a spec and the machine's file say.

A spec that merely lies in the folder where such a command is called is believed only where nobody
but us can have written it: it says where passwords are, and whom they are sent to.
"""

import os
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.cli.arguments import Usage
from reconciler.registries import Registries, known
from runtime.reference import DEFAULT_HOST, BadReference, has_host, parse

if TYPE_CHECKING:
    from runtime.api import RegistryAccess
    from specs.model.project import Project


def registries() -> "tuple[RegistryAccess, ...]":
    """How to reach them, for a command that is told of no spec."""
    hint = "what a registry needs may stand in the machine's registries.yaml"
    return known(_project_here(hint)).access


def known_to(spec: Path | None) -> Registries:
    """What ``spec`` says of registries, else the spec in this folder, and beneath it what the
    machine's file says. A spec that merely lies here may be broken, or a stranger's: stderr tells
    that it is not used. Raises ``SpecBroken``."""
    if spec is None:
        return known(_project_here("`--spec .` uses it all the same"))
    from reconciler.spec import read

    return known(read(spec).project)


def registry_host(text: str | None) -> str:
    """The registry that somebody wants to log in to, without scheme and version of the protocol;
    none named: Docker Hub. Raises ``Usage``."""
    from runtime.credentials.hosts import namespace, registry

    host = (text or DEFAULT_HOST).rpartition("://")[2].partition("/")[0]
    probe = f"{host}/x"
    try:
        known = has_host(probe) and bool(parse(probe))
    except BadReference:
        known = False
    if not known:
        hint = "a registry is a host with a dot or a port, such as r.example or localhost:5000"
        raise Usage(f"`{text}` is no registry", hint)
    if text and namespace(text, host) != "":
        raise Usage(f"`{text}` is more than a registry", f"a login is for all of it: {host}")
    return registry(host)


def _project_here(hint: str) -> "Project | None":
    """The spec in this folder, if it is to be used; ``hint`` is what to do where it is not."""
    from specs.naming import main_file

    main = main_file(os.fspath(Path()))
    if not os.path.exists(main):
        return None
    if why := _distrust(main, os.environ):
        from reconciler.views.terminal import escape

        sys.stderr.write(f"warning: the spec in this folder is not used: {escape(why)}; {hint}\n")
        return None
    from reconciler.spec import SpecBroken, read

    try:
        return read(Path()).project
    except SpecBroken:
        sys.stderr.write(
            "warning: the spec in this folder is broken; its `registries:` are not used\n"
        )
        return None


def _distrust(main: str, environ: Mapping[str, str]) -> str:
    """Who but root, us and whoever called us by sudo may have written the spec, its folders or its
    variables, in words; "" when nobody may."""
    from specs.environment import DOTENV
    from specs.naming import all_files

    ours = {0, os.getuid(), *map(int, filter(str.isdecimal, (environ.get("SUDO_UID", ""),)))}
    files = [*all_files(main), os.path.join(os.path.dirname(main), DOTENV)]
    folders = dict.fromkeys(os.path.dirname(path) or os.curdir for path in files)
    for path in (*folders, *files):
        with suppress(FileNotFoundError):  # no variables, or a link that leads nowhere
            found = os.stat(path)
            name = "the folder" if path == os.curdir else path
            if found.st_uid not in ours:
                return f"{name} belongs to the user {found.st_uid}"
            if found.st_mode & stat.S_IWOTH or (
                found.st_mode & stat.S_IWGRP and not _is_own_group(found.st_uid, found.st_gid)
            ):
                return f"others may write {name}"
    return ""


def _is_own_group(user: int, group: int) -> bool:
    """Whether the group is that user's alone: with a umask of 002 all that he makes is its."""
    import grp
    import pwd

    try:
        owner, members = pwd.getpwuid(user), grp.getgrgid(group).gr_mem
        others = [each for each in pwd.getpwall() if each.pw_gid == group and each.pw_uid != user]
    except KeyError:
        return False
    return owner.pw_gid == group and not others and set(members) <= {owner.pw_name}
