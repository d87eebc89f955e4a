"""Instructions of Dockerfiles, as `import --change` takes them."""

import pytest

from reconciler.dockerfile import BadInstruction, changed
from runtime.api import Healthcheck, ImageDefaults

SHELL = ("/bin/sh", "-c")


@pytest.mark.parametrize(
    ("lines", "made"),
    [
        (['CMD ["nginx", "-g", "x y"]'], ImageDefaults(cmd=("nginx", "-g", "x y"))),
        (["cmd nginx -g 'x y'"], ImageDefaults(cmd=(*SHELL, "nginx -g 'x y'"))),
        (["CMD ['no', 'JSON']"], ImageDefaults(cmd=(*SHELL, "['no', 'JSON']"))),
        (["CMD []"], ImageDefaults()),
        (['ENTRYPOINT ["a"]', "CMD b"], ImageDefaults(entrypoint=("a",), cmd=(*SHELL, "b"))),
        (
            ['ENV a=1 b=\'2 3\' c="4 \\"5" d=6\\ 7'],
            ImageDefaults(env=("a=1", "b=2 3", 'c=4 "5', "d=6 7")),
        ),
        (["ENV text with all the rest"], ImageDefaults(env=("text=with all the rest",))),
        (["ENV a=1", "ENV a=2 b=${a}x c=$a"], ImageDefaults(env=("a=2", "b=1x", "c=1"))),
        (
            ["ENV b=${a:-none} c=${a:+some} d='$a' e=\\$a"],
            ImageDefaults(env=("b=none", "c=", "d=$a", "e=$a")),
        ),
        (
            ["ENV dir=/srv", "WORKDIR ${dir}", "WORKDIR www/./x"],
            ImageDefaults(env=("dir=/srv",), working_dir="/srv/www/x"),
        ),
        (['LABEL a=1 "b c"="2"', "LABEL a=3"], ImageDefaults(labels={"a": "3", "b c": "2"})),
        (
            ["EXPOSE 80 53/UDP 8000-8002/tcp 80"],
            ImageDefaults(exposed_ports=("80/tcp", "53/udp", "8000/tcp", "8001/tcp", "8002/tcp")),
        ),
        (['VOLUME ["/a b", "/c"]', "VOLUME /d /c"], ImageDefaults(volumes=("/a b", "/c", "/d"))),
        (["USER app:1000"], ImageDefaults(user="app:1000")),
        (["STOPSIGNAL quit"], ImageDefaults(stop_signal="SIGQUIT")),
        (["HEALTHCHECK NONE"], ImageDefaults(healthcheck=Healthcheck(test=("NONE",)))),
        (
            ["HEALTHCHECK --interval=1m30s --timeout=500ms --retries=5 CMD curl x || exit 1"],
            ImageDefaults(
                healthcheck=Healthcheck(
                    test=("CMD-SHELL", "curl x || exit 1"),
                    interval=90.0,
                    timeout=0.5,
                    retries=5,
                )
            ),
        ),
        (
            ['HEALTHCHECK --start-period=5s --start-interval=1s CMD ["true"]'],
            ImageDefaults(
                healthcheck=Healthcheck(test=("CMD", "true"), start_period=5.0, start_interval=1.0)
            ),
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_each_instruction_changes_what_it_names(lines: list[str], made: ImageDefaults) -> None:
    assert changed(ImageDefaults(), lines) == made


def test_what_the_image_had_stays() -> None:
    image = ImageDefaults(cmd=("a",), env=("x=1", "y=2"), labels={"l": "1"})
    after = changed(image, ["ENV x=3", "LABEL m=$y"])
    assert after == ImageDefaults(cmd=("a",), env=("x=3", "y=2"), labels={"l": "1", "m": "2"})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("RUN make", "there is no instruction RUN for an import"),
        ("ONBUILD CMD x", "there is no instruction ONBUILD"),
        ("", "there is no instruction  for an import"),
        ("CMD", "CMD needs a value"),
        ("ENV a", "`a` has no value; write it like a=value"),
        ("ENV a=1 b", "`b` is no name=value"),
        ("ENV a='1", "the quote ' is not closed"),
        ("EXPOSE http", "`http` is no port"),
        ("EXPOSE 0", "`0` is no port: they go from 1 to 65535"),
        ("EXPOSE 9-8", "`9-8` is no port"),
        ("STOPSIGNAL SIGNO", "`SIGNO` is not a signal"),
        ("USER a:b:c", "`a:b:c` is not a user as name or number"),
        ("HEALTHCHECK true", "after the options of HEALTHCHECK stands CMD"),
        ("HEALTHCHECK --interval=5 CMD true", "`5` is not a duration such as 10s"),
        ("HEALTHCHECK --every=5s CMD true", "HEALTHCHECK has no option --every"),
        ("HEALTHCHECK --retries=0 CMD true", "`0` is no number of retries"),
    ],
)
def test_what_cannot_be_carried_out_is_told(line: str, why: str) -> None:
    with pytest.raises(BadInstruction) as caught:
        changed(ImageDefaults(), [line])
    assert caught.value.why.startswith(why)
    assert caught.value.exit_code == 64
