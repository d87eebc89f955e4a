"""Go's template words as Docker's scripts use them."""

import pytest

from reconciler.views.listing import listing
from reconciler.views.template import BadTemplate, Template

ROW: dict[str, object] = {
    "ID": "abc",
    "Names": "shop/web",
    "Labels": {"b": "2", "a": "x y"},
    "Ports": [80, 443],
    "Published": {"80/tcp": [{"HostPort": "8080"}]},
    "State": "running",
    "On": True,
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{.Names}}", "shop/web"),
        ("{{ .ID }}: {{.State}}", "abc: running"),
        ("{{json .Names}}", '"shop/web"'),
        ("{{json .Labels}}", '{"b":"2","a":"x y"}'),
        ("{{.Labels}}", "map[a:x y b:2]"),
        ("{{.Labels.a}}", "x y"),
        ("{{.Ports}}", "[80 443]"),
        ("{{.On}}", "true"),
        ("{{upper .State}}", "RUNNING"),
        ("{{.State | title | printf}}", None),
        ("{{.State | title | json}}", '"Running"'),
        ("{{truncate .Names 4}}", "shop"),
        (r"{{.ID}}\t{{.State}}", "abc\trunning"),
        ('{{"{{"}}', "{{"),
        ("a {{- .ID -}} b", "aabcb"),
        ("{{/* nothing */}}x", "x"),
        ("plain", "plain"),
        ("{{range .Ports}}{{.}},{{end}}", "80,443,"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}} {{end}}", "a=x y b=2 "),
        ("{{range $v := .Ports}}{{$v}}{{end}}", "80443"),
        ("{{range .Labels}}{{$.ID}}{{.}};{{end}}", "abcx y;abc2;"),
        ("{{if .On}}on{{else}}off{{end}}", "on"),
        ('{{if eq .State "exited"}}x{{else}}y{{end}}', "y"),
        ("{{range .Ports}}{{if eq . 80}}eighty{{end}}{{end}}", "eighty"),
        ("{{index .Ports 1}}", "443"),
        ('{{index .Labels "a"}}', "x y"),
        ("{{index .Ports 7}}", None),
        ('{{(index (index .Published "80/tcp") 0).HostPort}}', "8080"),
        ('{{(index .Published "80/tcp" 0).HostPort | upper}}', "8080"),
        ('{{index .Labels "nobody"}}', ""),
        ('{{index .Published "81/tcp" 0}}', None),
        ('{{if and .On (eq .State "running")}}up{{end}}', "up"),
        ('{{if or (eq .State "exited") (not .On)}}down{{else}}up{{end}}', "up"),
        ('{{join (split .Names "/") "-"}}', "shop-web"),
        ("{{range (index .Published `80/tcp`)}}{{.HostPort}}{{end}}", "8080"),
        ("{{(.ID}}", None),
        ("{{.ID)}}", None),
        ("{{()}}", None),
        ("{{(index .Ports 0).Missing}}", None),
        ("{{len .Ports}}", "2"),
        ("{{range .Ports}}", None),
        ("{{end}}", None),
        ("{{if .On}}a{{else}}b{{else}}c{{end}}", None),
        ("{{$nobody}}", None),
        ("{{range .ID}}{{end}}", None),
        ("{{.Missing}}", None),
        ("{{.Names", None),
        ("{{if .On}}x{{end}}", "x"),
        ("{{}}", None),
        ("{{.Names .ID}}", None),
        ("{{upper .On}}", None),
    ],
)
def test_template(template: str, text: str | None) -> None:
    if text is None:
        with pytest.raises(BadTemplate):
            Template(template).render(ROW)
    else:
        assert Template(template).render(ROW) == text


def test_a_table_template_has_a_header_and_aligned_columns() -> None:
    shown = listing(
        [ROW, {**ROW, "ID": "abcdef"}],
        {"ID": "CONTAINER ID", "Names": "NAMES"},
        columns=(),
        form=r"table {{.ID}}\t{{.Names}}",
    )
    assert shown == "CONTAINER ID   NAMES\nabc            shop/web\nabcdef         shop/web\n"


def test_a_field_in_parentheses_gives_its_column_a_title() -> None:
    assert Template("table {{(.ID)}}").header({"ID": "CONTAINER ID"}) == "CONTAINER ID"


def test_foreign_characters_in_a_listing_are_shown() -> None:
    hostile: dict[str, object] = {"Names": "a\x1b]0;title\x07\u202eb"}
    shown = listing([hostile], {"Names": "NAMES"}, columns=["Names"], form="table")
    assert shown == "NAMES\na\\x1b]0;title\\x07\\u202eb\n"
    assert "\\u001b" in listing([hostile], {}, columns=(), form="json")
    assert "\\x1b" in listing([hostile], {}, columns=(), form="{{.Names}}")


def test_an_unknown_field_is_answered_with_the_known_ones() -> None:
    with pytest.raises(BadTemplate) as caught:
        Template("{{.Nmaes}}").render({"ID": 1, "Names": 2})
    assert str(caught.value) == "--format: there is no field .Nmaes\n  fields: .ID .Names"
