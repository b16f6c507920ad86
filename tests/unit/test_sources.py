"""Source files that still read the secret, and what git knows of the state file (M2, M9)."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.clock import Cancel
from core.errors import SetupError
from core.machine.source_scan import git_view, readers, uses
from core.secret import Secret

MEMBER = "PROVISIONER_CLIENT_SECRET"
VALUE = "a secret of no known shape"
USE = f'value = 1\nsecret = state["{MEMBER}"]\nagain = state["{MEMBER}"]\n'
needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def put(folder: Path, name: str, text: str = USE) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "name", ["a.py", "b/c.sh", "Dockerfile", "Makefile", "x.tf", "ci.yml", "deep/er/s.ps1", "a.ts"]
)
def test_M2_source_files_that_read_the_secret_are_found_by_line(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, name)
    found = readers(tmp_path, MEMBER)
    assert found.complete
    assert [(reader.path, reader.line, reader.what) for reader in found.found] == [(path, 2, MEMBER)]


def test_M2_a_credential_from_a_secret_is_found_too(tmp_path: Path) -> None:
    put(tmp_path, "a.py", "import x\n\nc = ClientSecretCredential(t, a, s)\n")
    assert [(reader.line, reader.what) for reader in readers(tmp_path, MEMBER).found] == [(3, "ClientSecretCredential")]


@pytest.mark.parametrize(
    "name", ["notes.md", ".git/hooks/x.sh", ".venv/lib/a.py", "node_modules/m/a.js", "b/__pycache__/c.py"]
)
def test_M2_other_files_are_skipped(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    assert readers(tmp_path, MEMBER).found == ()


def test_M2_large_files_links_and_loops_are_skipped(tmp_path: Path) -> None:
    put(tmp_path, "large.py", USE + "#" * 5 * 1024 * 1024)
    put(tmp_path, "picture.png", f"\0{USE}")
    outside = put(tmp_path, "elsewhere/a.py")
    project = tmp_path / "project"
    project.mkdir()
    (project / "link.py").symlink_to(outside)
    (project / "loop").symlink_to(project)
    (project / "gone.py").symlink_to("nothing")
    assert readers(project, MEMBER).found == ()
    found = readers(tmp_path, MEMBER)
    assert [reader.path for reader in found.found] == [outside]
    assert found.unsearched == ("1 binary file(s)", "1 file(s) larger than 5 MiB", "2 link(s)"), "and that is said"


def test_M2_a_tree_that_is_too_large_is_said_to_be_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.machine.source_scan._MOST", 2)
    for name in ("a.py", "b.py", "c.py"):
        put(tmp_path, name)
    found = readers(tmp_path, MEMBER)
    assert (len(found.found), found.complete) == (2, False)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", f"AZURE_CLIENT_SECRET={VALUE}\n"),
        (".env.production", f"{MEMBER}=x\n"),
        (".envrc", f"export S=$(jq -r .{MEMBER} .state.json)\n"),
        ("bin/deploy", f"#!/usr/bin/env bash\nS=$(jq -r .{MEMBER} .state.json)\n"),
        ("try.ipynb", f'{{"cells": [{{"source": ["s = state[\\"{MEMBER}\\"]"]}}]}}'),
        ("Jenkinsfile", f"S = readJSON(file: '.state.json').{MEMBER}\n"),
        ("prod.tfvars", 'client_secret = "x"\n'),
        ("main.tf", "provider azurerm { client_secret = var.secret }\n"),
        ("ask.rb", 'post("/t/oauth2/v2.0/token",\n  client_secret: secret)\n'),
        ("login", "az login --service-principal -u app -p $SECRET --tenant t\n"),
        ("deploy.sh", 'az login --service-principal -u app \\\n  -p "$S" \\\n  --tenant t\n'),
        ("deploy.ps1", "az login --service-principal `\n  --password $s `\n  --tenant t\n"),
        ("connect.ps1", "Connect-AzAccount -ServicePrincipal -Tenant $t -Credential $c\n"),
        ("msal.py", "ConfidentialClientApplication(app,\n  client_credential=settings.secret)\n"),
        ("msal.ts", "new ConfidentialClientApplication({auth: {clientSecret: s}})\n"),
        ("Msal.java", "ClientCredentialFactory.createFromSecret(s)\n"),
        ("msal.go", "confidential.NewCredFromSecret(s)\n"),
        ("appsettings.json", '{"AzureAd": {\n  "ClientSecret": "set by the pipeline"}}\n'),
        ("compose.yml", "environment:\n  - AzureAd__ClientSecret=${S}\n"),
        (".github/workflows/a.yml", "uses: azure/login@v2\nwith:\n  creds: ${{ secrets.A }}\n"),
        (".github/workflows/b.yml", "uses: azure/login@v2\nwith:\n  client-secret: ${{ secrets.A }}\n"),
        ("Program.cs", "builder.WithClientSecret(secret)\n"),
        ("notes.md", f"the secret is {VALUE}\n"),
        ("values.json", f'{{"password": "{VALUE}"}}'),
        ("old.txt", "other: xyz8Q~" + "a" * 34),
    ],
)
def test_M9_whatever_reads_a_client_secret_is_found_whatever_its_name(tmp_path: Path, name: str, text: str) -> None:
    path = put(tmp_path, name, text)
    assert [reader.path for reader in readers(tmp_path, MEMBER, Secret(VALUE, learn=False)).found] == [path]


def test_M9_a_default_credential_counts_where_the_variable_is_set(tmp_path: Path) -> None:
    app = put(tmp_path, "app.py", "credential = DefaultAzureCredential()\n")
    assert readers(tmp_path, MEMBER).found == (), "nothing says that it takes a secret"
    env = put(tmp_path, ".env", "AZURE_CLIENT_SECRET=x\n")
    assert [reader.path for reader in readers(tmp_path, MEMBER).found] == [env, app]


def test_M9_a_variable_that_is_only_removed_makes_no_default_credential_a_reader(tmp_path: Path) -> None:
    put(tmp_path, "app.py", "credential = DefaultAzureCredential()\n")
    put(tmp_path, "run.sh", "unset AZURE_CLIENT_SECRET\n")
    assert readers(tmp_path, MEMBER).found == ()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("appsettings.json", '{"AzureAd": {"ClientSecret": "", "ClientCertificates": [1]}}\n'),
        ("msal.py", "ConfidentialClientApplication(app, client_credential={'thumbprint': t, 'private_key': k})\n"),
        ("login.sh", "az login --service-principal -u app --certificate c.pem\nmkdir -p x\n"),
        ("main.tf", 'provider azurerm { client_secret = "" }\n'),
        ("b.yml", "uses: azure/login@v2\nwith:\n  client-id: ${{ secrets.A }}\n"),
    ],
)
def test_M9_what_signs_in_without_a_secret_is_no_reader(tmp_path: Path, name: str, text: str) -> None:
    put(tmp_path, name, text)
    assert readers(tmp_path, MEMBER).found == ()


def test_M9_a_script_in_utf_16_is_searched_and_the_state_file_is_not(tmp_path: Path) -> None:
    path, state = tmp_path / "Run.ps1", put(tmp_path, ".state.json", f'{{"{MEMBER}": "{VALUE}"}}')
    path.write_text(f"$env:{MEMBER}", encoding="utf-16")
    assert [reader.path for reader in readers(tmp_path, MEMBER, own=state).found] == [path]


def test_M9_what_was_not_searched_is_said(tmp_path: Path) -> None:
    put(tmp_path, "node_modules/m/a.js")
    put(tmp_path, ".git/config")
    assert readers(tmp_path, MEMBER).gaps == "not searched: folders called .git, node_modules"
    assert readers(tmp_path / "nothing", MEMBER).gaps == ""


REMOVES = [
    "unset NAME",
    "unset OTHER NAME",
    "del state['NAME']",
    'del os.environ["NAME"]  # gone',
    'state.pop("NAME", None)',
    "delete process.env.NAME;",
    'delete state["NAME"]',
    "jq 'del(.NAME)' .state.json",
    "sed -i '/NAME/d' .env",
    "grep -v NAME .env > new",
    "Remove-Item Env:NAME",
    r"Remove-Item Env:\NAME",
    "env -u NAME python app.py",
    'monkeypatch.delenv("NAME", raising=False)',
    'os.Unsetenv("NAME")',
    'std::env::remove_var("NAME");',
    'settings.Remove("NAME");',
    "NAME=",
    'export NAME=""',
]
READS = [
    "secret = state['NAME']",
    'secret = state.pop("NAME")',
    "return state.pop('NAME', None)",
    "S=$(jq -r .NAME .state.json)",
    "NAME=x",
    "echo $NAME; unset NAME",
    "use(process.env.NAME); delete process.env.NAME;",
    "jq 'del(.OTHER)' x | jq .NAME",
    "sed -i 's/NAME=.*/NAME=x/' .env",
    "grep NAME .env",
    "delete_after(state['NAME'])",
    "del cache[state['NAME']]",
    "unset OTHER && curl -d client_secret=$NAME",
]
identifiers = st.from_regex(r"[A-Z][A-Z0-9_]{7,20}", fullmatch=True).filter(lambda name: name != "OTHER")


@given(name=identifiers, line=st.sampled_from(REMOVES), before=st.sampled_from(["", "  ", "\t"]))
def test_M9_a_line_that_only_removes_it_is_no_reader(name: str, line: str, before: str) -> None:
    assert not uses(before + line.replace("NAME", name), name)


@given(name=identifiers, line=st.sampled_from(READS), removal=st.sampled_from(["", *REMOVES]), order=st.booleans())
def test_M9_a_line_that_reads_it_is_one_whatever_else_it_does(name: str, line: str, removal: str, order: bool) -> None:
    parts = [line, removal] if order else [removal, line]
    assert uses("; ".join(part for part in parts if part).replace("NAME", name), name)


@given(st.binary(max_size=200))
def test_M9_no_content_stops_the_search(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "x").write_bytes(content)
        path = put(Path(folder), "y")
        assert path in [reader.path for reader in readers(Path(folder), MEMBER).found]


def git(folder: Path, *arguments: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run(["git", "-C", str(folder), *arguments], check=True, capture_output=True, env=environment)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q")
    put(folder, "project/.state.json", "{}")
    return folder


def view(repository: Path) -> str:
    return git_view(repository / "project" / ".state.json", [], Cancel())


def test_M9_without_a_repository(tmp_path: Path) -> None:
    assert git_view(put(tmp_path, ".state.json", "{}"), [], Cancel()) == "no repository"


@needs_git
@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize(
    ("ignore", "track", "expected"),
    [("", False, "not ignored"), (".state.json\n", False, "ignored"), (".state.json\n", True, "tracked")],
)
def test_M9_what_git_would_do_with_the_file(
    repository: Path, ignore: str, track: bool, expected: str, present: bool
) -> None:
    put(repository, ".gitignore", ignore)
    if track:
        git(repository, "add", "--force", "project/.state.json")
    if not present:
        (repository / "project" / ".state.json").unlink()
    assert view(repository) == expected


@needs_git
def test_P11_why_git_cannot_tell_is_told_in_its_own_words(repository: Path) -> None:
    (repository / ".git" / "HEAD").unlink()
    with pytest.raises(SetupError) as caught:
        view(repository)
    assert caught.value.id == "git.failed"
    assert "not a git repository" in caught.value.summary
    assert "exit code 128" in caught.value.summary


def test_M9_without_git_nothing_is_known(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert view(repository) == "unknown"


@needs_git
def test_M9_variables_of_another_repository_do_not_mislead(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository, "add", "project/.state.json")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    assert view(repository) == "tracked"


@needs_git
def test_C4_a_repository_does_not_get_to_run_programs(repository: Path) -> None:
    trap, ran = repository / "trap.sh", repository / "ran"
    trap.write_text(f"#!/bin/sh\ntouch {ran}\n")
    trap.chmod(0o755)
    git(repository, "add", "project/.state.json")
    for name in ("core.fsmonitor", "core.pager", "core.editor", "core.sshCommand", "filter.x.clean", "diff.external"):
        git(repository, "config", name, str(trap))
    put(repository, ".gitattributes", "* filter=x\n")
    for hook in ("post-index-change", "fsmonitor-watchman", "pre-auto-gc"):
        shutil.copy(trap, repository / ".git" / "hooks" / hook)
    assert view(repository) == "tracked"
    assert not ran.exists()
