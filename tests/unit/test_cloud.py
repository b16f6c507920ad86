"""Clouds: built in or from a file, https origins and nothing else (C1-C4)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.cloud import BUILT_IN, GRAPH_APP_ID, Cloud, load, origin_of
from core.errors import SetupError

GOOD = {"name": "lab", "authority": "https://login.lab", "graph": "https://graph.lab:8443/", "arm": "https://arm.lab"}


def write(folder: Path, **members: str | None) -> str:
    given = {**GOOD, **members}
    path = folder / "cloud.toml"
    path.write_text("".join(f"{key} = '{value}'\n" for key, value in given.items() if value is not None))
    return str(path)


def refused(name: str) -> SetupError:
    with pytest.raises(SetupError) as caught:
        load(name)
    assert caught.value.exit_code == 2
    assert name in caught.value.summary
    return caught.value


@pytest.mark.parametrize("name", ["public", "usgov", "china"])
def test_built_in_clouds(name: str) -> None:
    cloud = load(name)
    assert cloud is BUILT_IN[name]
    assert cloud.origins == {cloud.authority, cloud.graph, cloud.arm}
    assert all(origin == origin_of(origin) for origin in cloud.origins)
    assert cloud.is_graph_audience(cloud.graph)
    assert cloud.is_graph_audience(f"{cloud.graph}/")
    assert cloud.is_graph_audience(GRAPH_APP_ID)
    others = [other for other in BUILT_IN.values() if other is not cloud]
    assert not any(cloud.is_graph_audience(other.graph) for other in others)
    assert cloud.keystore_service("service") == "service"


def test_C2_a_cloud_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    cloud = load(write(tmp_path, ca_bundle="ca.pem"))
    assert cloud == Cloud("lab", "https://login.lab", "https://graph.lab:8443", "https://arm.lab", tmp_path / "ca.pem")
    assert cloud.keystore_service("service") == "service@login.lab"
    assert cloud.is_graph_audience("https://graph.lab:8443/")
    assert not cloud.is_graph_audience(GRAPH_APP_ID), "the app id says nothing of the origin"
    assert not cloud.is_graph_audience("https://graph.microsoft.com")
    assert cloud.graph_scope == "https://graph.lab:8443/.default"


@pytest.mark.parametrize(
    "members",
    [
        {"name": None},
        {"name": ""},
        {"name": "public"},
        {"graph": None},
        {"nonsense": "x"},
        {"ca_bundle": "nothing.pem"},
        {"ca_bundle": "."},
        *({"authority": value} for value in (
            "http://login.lab", "https://login.lab/tenant", "https://user@login.lab", "https://user:pw@login.lab",
            "https://login.lab?x=1", "https://login.lab#x", "https://", "login.lab", "https://login.lab:x", "",
            "https://login.lab:99999", "https://[::1", "//login.lab", "https://login.lab\\@evil", "ftp://login.lab",
        )),
    ],
    ids=str,
)  # fmt: skip
def test_C4_a_wrong_cloud_file_is_refused(tmp_path: Path, members: dict[str, str | None]) -> None:
    assert refused(write(tmp_path, **members)).id == "usage.cloud-file"


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b"name = 'x'\nname = 'y'", b"name = 7", b""])
def test_a_broken_cloud_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cloud.toml"
    path.write_bytes(content)
    assert refused(str(path)).id == "usage.cloud-file"


@pytest.mark.parametrize("name", ["Public", "no-such-cloud", ".", ""])
def test_an_unknown_cloud_is_refused(name: str) -> None:
    assert refused(name).id == "usage.cloud-unknown"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://Graph.Microsoft.com/v1.0/x?y#z", "https://graph.microsoft.com"),
        ("HTTPS://graph.microsoft.com:443", "https://graph.microsoft.com"),
        ("https://graph.microsoft.com:8443/", "https://graph.microsoft.com:8443"),
        ("https://graph.microsoft.com@evil.example/", "https://evil.example"),
        ("https://evil.example\\@graph.microsoft.com/", "https://graph.microsoft.com"),
        ("http://graph.microsoft.com/", "http://graph.microsoft.com"),
        ("http://graph.microsoft.com:443/", "http://graph.microsoft.com"),
        ("https://[::1]:8443/x", "https://[::1]:8443"),
        ("/relative", "://"),
        ("https://graph.microsoft.com:99999/", ""),
        ("https://graph.microsoft.com:x/", ""),
        ("https://[::1", ""),
    ],
)
def test_the_origin_of_a_url(url: str, origin: str) -> None:
    assert origin_of(url) == origin


hosts = st.from_regex(r"[a-z]{1,8}(\.[a-z]{1,8}){0,2}", fullmatch=True)
text = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\""), min_size=1, max_size=8)


@given(hosts, st.integers(1, 65535).filter(lambda port: port != 443), st.sampled_from(["", "/"]))
def test_C4_every_https_origin_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, host: str, port: int, end: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert load(write(folder, graph=f"https://{host}:{port}{end}")).graph == f"https://{host}:{port}"


@given(
    hosts,
    text,
    st.sampled_from(
        ["https://{0}/{1}", "https://{1}@{0}", "https://{0}?{1}", "https://{0}#{1}", "http://{0}", "{1}:{0}"]
    ),
)
def test_C4_nothing_but_an_origin_is_accepted(
    tmp_path_factory: pytest.TempPathFactory, host: str, part: str, form: str
) -> None:
    value = form.format(host, part)
    try:
        cloud = load(write(tmp_path_factory.getbasetemp(), graph=value))
    except SetupError:
        return
    assert cloud.graph == value.rstrip("/").lower()
    assert "@" not in cloud.graph
    assert cloud.graph.count("/") == 2
