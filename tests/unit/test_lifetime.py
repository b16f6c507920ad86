"""What says that a key would not outlive the run (M16)."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.machine.environment import evidence


@pytest.mark.parametrize(
    "variable",
    [
        "CI=true",
        "CI=1",
        "GITHUB_ACTIONS=true",
        "TF_BUILD=True",
        "GITLAB_CI=true",
        "JENKINS_URL=https://jenkins.example/",
        "BUILDKITE=true",
        "CIRCLECI=true",
        "TEAMCITY_VERSION=2024.03",
        "CODEBUILD_BUILD_ID=project:1",
        "BITBUCKET_BUILD_NUMBER=7",
        "KUBERNETES_SERVICE_HOST=10.0.0.1",
        "container=podman",
    ],
)
def test_M16_a_variable_of_a_job_or_a_container_is_evidence_and_is_named(tmp_path: Path, variable: str) -> None:
    name, _, value = variable.partition("=")
    (found,) = evidence({name: value}, tmp_path)
    assert found.endswith(f": the variable {name} is set"), "its value is nobody's business"


@pytest.mark.parametrize("variable", ["CI=", "CI=false", "CI=0", "container=", "HOME=/root", "CONTAINER_NAME=x"])
def test_M16_what_is_off_or_means_something_else_is_no_evidence(tmp_path: Path, variable: str) -> None:
    name, _, value = variable.partition("=")
    assert evidence({name: value}, tmp_path) == ()


@pytest.mark.parametrize("name", [".dockerenv", "run/.containerenv", "run/systemd/container"])
def test_M16_the_marks_of_a_container_are_evidence(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    assert evidence({}, tmp_path) == (f"container: /{name} exists",)


@pytest.mark.parametrize(
    ("content", "hint"),
    [
        ("12:pids:/docker/0123abcd\n0::/system.slice\n", "docker"),
        ("0::/kubepods.slice/kubepods-besteffort.slice/cri-containerd-1.scope\n", "kubepods"),
        ("0::/machine.slice/libpod-1.scope\n", "libpod"),
        ("1:name=systemd:/lxc/web\n", "lxc"),
        ("0::/init.scope\n", ""),
        ("12:pids:/\n0::/user.slice/user-1000.slice\n", ""),
    ],
)
def test_M16_control_groups_give_a_container_away(tmp_path: Path, content: str, hint: str) -> None:
    (tmp_path / "proc/1").mkdir(parents=True)
    (tmp_path / "proc/1/cgroup").write_text(content)
    found = evidence({}, tmp_path)
    assert found == ((f"container: /proc/1/cgroup names '{hint}'",) if hint else ())


def test_M16_WSL_is_no_container(tmp_path: Path) -> None:
    (tmp_path / "run/systemd").mkdir(parents=True)
    (tmp_path / "run/systemd/container").write_text("wsl\n")
    assert evidence({"container": "wsl", "WSL_DISTRO_NAME": "Ubuntu", "WSL_INTEROP": "/run/WSL/1"}, tmp_path) == ()


def test_M16_everything_that_was_seen_is_told(tmp_path: Path) -> None:
    (tmp_path / ".dockerenv").touch()
    found = evidence({"CI": "true", "GITHUB_ACTIONS": "true"}, tmp_path)
    assert [text.partition(":")[0] for text in found] == ["CI", "CI", "container"]
