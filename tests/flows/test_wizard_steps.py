"""What a wizard asks of the flows beyond the headless commands: tools, signing in, directory roles (U3, D4)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from core.clock import Cancel
from core.events import Finding, StageStarted, StepFinished, to_json
from core.flow import engine
from core.flow.engine import Result
from core.flows import apply, migrate, onboard, rollback
from core.machine import prerequisites
from core.machine.azure_login import Prompt
from core.machine.prerequisites import Tool
from core.sandbox.fake_machine.az import TOOLS
from core.sandbox.graph.roles import GLOBAL_ADMINISTRATOR
from core.steps.tools import STEPS, with_tools
from tests.machine import Machine, Snapshot

MEMBER = "b79fbf4d-3ef9-4689-8143-76b194e85509"


def run(machine: Machine, *missing: Tool) -> Result:
    """A migration with the tools looked at, on a computer that lacks some."""
    machine.events.clear()
    ctx = machine.build()
    names = {tool.name for tool in missing}
    ctx.tools = lambda: (*(tool for tool in TOOLS if tool.name not in names), *missing)
    try:
        return engine.run(with_tools(migrate.FLOW), ctx, ctx.run_id)
    finally:
        ctx.close()


def rows(machine: Machine) -> list[StepFinished]:
    return [event for event in machine.events if isinstance(event, StepFinished)]


def lacks(name: str, install: str, *, required: bool) -> Tool:
    return Tool(name, ">= 9", "8.1", ok=False, why="it is too old", install=install, required=required)


def test_every_tool_has_a_row(machine: Machine) -> None:
    assert run(machine).exit_code == 0
    seen = [row for row in rows(machine) if row.step.startswith("tool-")]
    assert [row.step for row in seen] == [step.name for step in STEPS]
    assert {(row.stage, row.state) for row in seen} == {("prereqs", "unchanged")}
    assert seen[-1].detail == "not needed here, the sandbox signs in"
    assert [event.stage for event in machine.events if isinstance(event, StageStarted)].count("prereqs") == 1


def test_what_is_advice_is_a_warning(machine: Machine) -> None:
    assert run(machine, lacks(prerequisites.GIT, "get git", required=False)).exit_code == 0
    (finding,) = [event for event in machine.events if isinstance(event, Finding) and event.id == "tools.missing"]
    assert (finding.severity, finding.remedy) == ("warning", "get git")
    assert {row.step: row.detail for row in rows(machine)}["tool-git"] == "missing: it is too old"


def test_what_is_required_stops_the_run_and_all_of_it_is_named(machine: Machine) -> None:
    before = Snapshot.of(machine)
    missing = (lacks(prerequisites.BUS, "get a bus", required=True), lacks(prerequisites.AZ, "get az", required=True))
    result = run(machine, *missing, lacks(prerequisites.SECRETS, "", required=False))
    assert (result.outcome, result.exit_code) == ("failed", 3)
    (error,) = result.errors
    assert error["id"] == "tools.missing"
    assert "Azure CLI >= 9 (found 8.1): it is too old" in error["message"]
    assert "get a bus" in error["remedy"]
    assert "get az" in error["remedy"]
    found = [event for event in machine.events if isinstance(event, Finding)]
    assert [(event.severity, event.remedy) for event in found] == [
        ("warning", ""),
        ("failure", "get a bus"),
        ("failure", "get az"),
    ]
    assert rows(machine)[-1].state == "failed"
    assert machine.untouched(before)


def test_a_tool_that_this_system_does_not_have_is_no_gap(machine: Machine) -> None:
    ctx = machine.build()
    ctx.tools = lambda: tuple(tool for tool in TOOLS if tool.name != prerequisites.BUS)
    assert engine.run(with_tools(migrate.FLOW), ctx, ctx.run_id, dry_run=True).exit_code == 0
    ctx.close()
    assert {row.step: row.detail for row in rows(machine)}["tool-session-bus"] == "not needed on this system"


def test_the_headless_flows_do_without(machine: Machine) -> None:
    def never() -> tuple[Tool, ...]:
        raise AssertionError("the Azure CLI would be started twice")

    ctx = machine.build()
    ctx.tools = never
    assert engine.run(migrate.FLOW, ctx, ctx.run_id, dry_run=True).exit_code == 0
    ctx.close()
    for flow in (migrate.FLOW, onboard.FLOW, apply.FLOW, rollback.FLOW):
        first = with_tools(flow).look[0]
        assert (first.name, first.steps[: len(STEPS)]) == ("prereqs", STEPS)
    alone = with_tools(replace(migrate.FLOW, look=migrate.FLOW.look[1:])).look[0]
    assert (alone.name, alone.steps) == ("prereqs", STEPS)


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        ([], "none"),
        ([MEMBER], "none"),
        ([GLOBAL_ADMINISTRATOR, MEMBER], "Global Administrator"),
        (["158c047a-c907-4556-b7ef-446551a6b5f7", "x"], "Cloud Application Administrator, 1 other"),
        (["x", "y"], "2 others"),
    ],
)
def test_P12_the_directory_roles_are_named(machine: Machine, roles: list[str], said: str) -> None:
    user = machine.tenant.latest("user", machine.tenant.signed_in_user)
    assert user is not None
    machine.tenant.commit("user", user["id"], user | {"_roles": roles})
    machine.migrate(dry_run=True)
    assert {row.step: row.detail for row in rows(machine)}["directory-roles"] == said


def test_P12_a_token_without_roles_leaves_them_unknown(machine: Machine) -> None:
    machine.migrate(dry_run=True, who=machine.app_id)
    found = {row.step: row.detail for row in rows(machine)}
    assert found["directory-roles"] == "unknown: the token does not say"


def test_D4_U3_signed_out_signed_in_and_the_code_is_nowhere(machine: Machine, home: Path) -> None:
    ctx = machine.build()
    ctx.sign_in.logout()
    result = engine.run(migrate.FLOW, ctx, ctx.run_id)
    assert (result.exit_code, result.errors[0]["id"]) == (4, "az.signed-out")

    shown: list[Prompt] = []
    ctx.sign_in.login(machine.tenant.id, device_code=True, tell=shown.append, cancel=Cancel())
    result = engine.run(migrate.FLOW, ctx, ctx.run_id)
    ctx.close()
    assert result.exit_code == 0
    (prompt,) = shown
    written = [to_json(event, "now") for event in machine.events] + [json.dumps(result.errors)]
    written += [path.read_text() for path in home.rglob("*.jsonl")]
    written += [path.read_text() for path in machine.lab.project.rglob("*") if path.is_file()]
    assert len(written) > 30
    assert not [text for text in written if prompt.code in text]
