"""What can go wrong with a registry, each with what to do about it."""

from runtime.errors import Absent, Fault


class RegistryUnreachable(Fault):
    """No answer, or no connection that can be trusted."""

    def __init__(self, host: str, why: str, hint: str = "") -> None:
        self.host = host
        super().__init__(
            f"the registry {host} cannot be reached",
            why=why,
            hint=hint or "check the name and the network, then run the same command again",
        )


class RegistryFailed(Fault):
    """The registry answers, but not as it should; ``status`` is HTTP's, 0 when there is none."""

    def __init__(self, host: str, why: str, *, status: int = 0, hint: str = "") -> None:
        self.host, self.status = host, status
        super().__init__(
            f"the registry {host} did not do its work",
            why=why,
            hint=hint or "run the same command again later, or ask who runs the registry",
        )


class LedInside(RegistryFailed):
    """It leads to who is nearer to this machine than the registry itself."""

    def __init__(self, host: str, place: str, address: str) -> None:
        self.place, self.address = place, address
        hint = (
            f"if {place} is yours and acts for {host}, write `partners: [{place}]` for {host}"
            " under `registries:` in the spec"
        )
        super().__init__(host, f"it leads to {place}, the private address {address}", hint=hint)


class TooManyRequests(RegistryFailed):
    """The registry gives us no more for a while; often it gives more to who has logged in."""

    def __init__(self, host: str, why: str, *, anonymous: bool) -> None:
        self.anonymous = anonymous
        login = f"log in with `trueup login {host}`, " if anonymous else ""
        hint = f"{login}wait for a while, or name a mirror of it under `registries:` in the spec"
        super().__init__(host, why, status=429, hint=hint)


class AccessDenied(Fault):
    """The registry wants another name and password, or refuses us; ``there`` is the one it led us
    to, to which no login goes."""

    def __init__(
        self,
        host: str,
        repository: str,
        *,
        with_password: bool,
        pushing: bool = False,
        there: str = "",
    ) -> None:
        self.host, self.repository = host, repository
        why = "it refuses the username and password" if with_password else "it asks for a login"
        if pushing and with_password:
            why = "it refuses the username and password, or they may only pull"
        if there:
            why = f"it leads to {there}, which asks for a login"
        super().__init__(
            f"{'no right to push' if pushing else 'no access'} to {host}/{repository}".rstrip("/"),
            why=f"{why}, or there is no such repository" if repository else why,
            hint=f"name the image as {there} does, and log in there: no login follows a redirect"
            if there
            else f"check the name, and log in with `trueup login {host}`, or by `auth` of {host}"
            " under `registries:` in the spec (`trueup pull` knows only the spec in this folder,"
            " or that of --spec PATH)"
            if repository or not with_password
            else "check the name of the registry, the username and the password",
        )


class PasswordMissing(Fault):
    """The registry asks for the password, which is not where the spec says."""

    def __init__(self, host: str, why: str) -> None:
        self.host = host
        super().__init__(
            f"the password for {host} is missing",
            why=why,
            hint="set it, or correct `registries:` in the spec",
        )


class PasswordWithheld(Fault):
    """The registry wants a login of which a stranger would have to know the password."""

    def __init__(self, host: str, server: str) -> None:
        self.host, self.server = host, server
        super().__init__(
            f"the password for {host} was not sent",
            why=f"its token server {server} is under another domain",
            hint=f"if that acts for {host}, write `partners: [{server}]` for it under"
            " `registries:`, in the spec or, for `trueup login` as well, in"
            " /etc/trueup/registries.yaml",
        )


class NotInRegistry(Absent):
    """There is no such image, or none for us: ``hidden`` when the registry says the same of what
    is private."""

    def __init__(self, reference: str, *, hidden: bool = False) -> None:
        self.reference = reference
        host = reference.partition("/")[0]
        super().__init__(
            f"{reference} does not exist in its registry",
            why=f"{host} says that also of what is private" if hidden else "",
            hint=f"check the name and the tag, or log in with `trueup login {host}`"
            if hidden
            else "check the name and the tag",
        )


class WrongContent(Fault):
    """What came is not what its digest says."""

    def __init__(self, host: str, digest: str, why: str) -> None:
        self.host, self.digest = host, digest
        super().__init__(
            f"{host} sent something else than {digest}",
            why=why,
            hint="nothing of it was kept; the registry, or the way to it, is broken or hostile",
        )


class ProxyUnusable(Fault):
    """A variable of the environment; what it holds is not told, since it may be a password."""

    def __init__(self, variable: str) -> None:
        self.variable = variable
        super().__init__(
            f"the proxy that {variable} names cannot be used",
            why="it is no http://[USER:PASSWORD@]HOST[:PORT]",
            hint=f"correct {variable}, or unset it; NO_PROXY says which hosts need none",
        )


class CertificateUnusable(Fault):
    """A file of certificates that somebody set for a registry."""

    def __init__(self, path: str, why: str) -> None:
        self.path = path
        super().__init__(
            f"the certificate file {path} cannot be used",
            why=why,
            hint="mend the file, or what names it under `registries:`",
        )
