"""OData of the pretend Graph: filters and pages, by property, and the options that need a header (S1, S2)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.sandbox.directory import registrations
from core.sandbox.directory.store import State
from core.sandbox.graph import filters, roles, schema
from core.sandbox.http import Request
from tests.sandbox.client import Client

EVENTUAL = {"ConsistencyLevel": "eventual"}
TEXT = st.text("abAB' &+%=,()and", max_size=8)
NAME = st.sampled_from(["displayName", "notes"])


@pytest.fixture
def client() -> Client:
    return Client("fresh")


def fill(client: Client, names: list[str]) -> list[str]:
    apps = [registrations.new_application(client.tenant, name) for name in names]
    for app in apps:
        client.tenant.commit("application", app["id"], app)
    return [app["id"] for app in apps]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


# filters

CLAUSE = st.one_of(
    st.tuples(st.just("eq"), NAME, TEXT),
    st.tuples(st.just("startswith"), NAME, TEXT),
    st.tuples(st.just("any"), st.just("tags"), TEXT),
    st.tuples(st.just("bool"), st.just("accountEnabled"), st.booleans()),
    st.tuples(st.just("ne"), NAME, TEXT),
    st.tuples(st.just("endswith"), NAME, TEXT),
    st.tuples(st.just("in"), NAME, st.lists(TEXT, min_size=1, max_size=3)),
)
OBJECT = st.fixed_dictionaries(
    {
        "displayName": TEXT,
        "notes": TEXT,
        "tags": st.lists(TEXT, max_size=3),
        "accountEnabled": st.booleans(),
    }
)


def written(clause: tuple[str, str, Any]) -> str:
    operator, name, value = clause
    match operator:
        case "eq":
            return f"{name} eq {quoted(value)}"
        case "startswith":
            return f"startswith({name},{quoted(value)})"
        case "any":
            return f"{name}/any(t:t eq {quoted(value)})"
        case "ne":
            return f"{name} ne {quoted(value)}"
        case "endswith":
            return f"endsWith({name}, {quoted(value)})"
        case "in":
            return f"{name} in ({', '.join(map(quoted, value))})"
    return f"{name} eq {str(value).lower()}"


def meant(clause: tuple[str, str, Any], state: State) -> bool:
    operator, name, value = clause
    there = state[name]
    match operator:
        case "eq":
            return bool(there.lower() == value.lower())
        case "startswith":
            return bool(there.lower().startswith(value.lower()))
        case "any":
            return value.lower() in [item.lower() for item in there]
        case "ne":
            return bool(there.lower() != value.lower())
        case "endswith":
            return bool(there.lower().endswith(value.lower()))
        case "in":
            return there.lower() in [item.lower() for item in value]
    return there is value


TREE = st.recursive(
    CLAUSE,
    lambda inner: st.one_of(
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("or"), inner, inner),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=5,
)


def tree_written(tree: Any) -> str:
    match tree:
        case ("not", inner):
            return f"not({tree_written(inner)})"
        case ("and" | "or" as joint, left, right):
            return f"({tree_written(left)}) {joint} ({tree_written(right)})"
    return written(tree)


def tree_meant(tree: Any, state: State) -> bool:
    match tree:
        case ("not", inner):
            return not tree_meant(inner, state)
        case ("and", left, right):
            return tree_meant(left, state) and tree_meant(right, state)
        case ("or", left, right):
            return tree_meant(left, state) or tree_meant(right, state)
    return meant(tree, state)


@given(TREE, st.lists(OBJECT, max_size=5))
def test_S1_a_filter_lets_through_what_it_says(tree: Any, objects: list[State]) -> None:
    assert filters.parse(tree_written(tree)).over(objects) == [state for state in objects if tree_meant(tree, state)]


@given(CLAUSE, CLAUSE, CLAUSE, st.lists(OBJECT, max_size=5))
def test_S1_and_binds_closer_than_or(first: Any, second: Any, third: Any, objects: list[State]) -> None:
    text = f"{written(first)} or {written(second)} and {written(third)}"
    expected = [each for each in objects if meant(first, each) or (meant(second, each) and meant(third, each))]
    assert filters.parse(text).over(objects) == expected


@given(st.text("ab' ()=,:/eqandorst", max_size=30) | st.text(max_size=20))
def test_S2_any_text_is_a_filter_or_refused(text: str) -> None:
    objects: list[State] = [{"a": "b", "displayName": "x", "tags": ["a"]}]
    try:
        found = filters.parse(text).over(objects)
    except filters.Unsupported as error:
        assert error.code == "Request_UnsupportedQuery"
    else:
        assert found in ([], objects)
        assert not text.strip() or re.search(r" eq |startswith\(", text, re.IGNORECASE)


@pytest.mark.parametrize("joint", [" xor ", "  ", ", ", " and and ", " or "])
@given(first=CLAUSE)
def test_S2_what_joins_nothing_is_refused(joint: str, first: Any) -> None:
    with pytest.raises(filters.Unsupported):
        filters.parse(f"{written(first)}{joint}{'' if joint == ' or ' else written(first)}")


@pytest.mark.parametrize(
    ("text", "operator", "found"),
    [
        ("displayName ne 'alpha'", "NotEqualsMatch", ["beta"]),
        ("not(startswith(displayName,'al'))", "Not", ["beta"]),
        ("endsWith(displayName,'ta')", "EndsWith", ["beta"]),
        ("not displayName in ('alpha', 'gamma')", "Not", ["beta"]),
    ],
)
def test_S2_some_operators_need_an_advanced_query(client: Client, text: str, operator: str, found: list[str]) -> None:
    fill(client, ["alpha", "beta"])
    path = f"/applications?$select=displayName&$filter={text}"
    for query_, headers in ((path, {}), (path, EVENTUAL)):
        error = client.call("GET", query_, **headers).json()["error"]
        said = f"Filter operator '{operator}' is not supported."
        assert (error["code"], error["message"]) == ("Request_UnsupportedQuery", said)
    answer = client.call("GET", f"{path}&$count=true", **EVENTUAL).json()
    assert [app["displayName"] for app in answer["value"]] == found
    assert answer["@odata.count"] == 1


def test_S2_a_property_that_no_object_has_or_shows_cannot_be_filtered_by(client: Client) -> None:
    fill(client, ["alpha"])
    for name in ("nonsense", "_owners"):
        refused = client.refused("GET", f"/applications?$filter={name} eq 'x'")
        assert refused == (400, "BadRequest")
    for name in ("keyCredentials", "web"):
        refused = client.refused("GET", f"/applications?$filter={name} eq 'x'")
        assert refused == (400, "Request_UnsupportedQuery")
    assert client.get("/users?$filter=identityParentId eq 'x'", app_reader(client))["value"] == [], (
        "agents only have it"
    )


def app_reader(client: Client) -> str:
    return client.scoped("User.Read.All")


# pages


@given(
    count=st.integers(0, 9),
    size=st.integers(1, 11),
    top=st.none() | st.integers(1, 999),
    select=st.booleans(),
)
def test_S1_any_page_size_yields_every_object_once(count: int, size: int, top: int | None, select: bool) -> None:
    client = Client("fresh")
    ids = fill(client, [f"a & b+c%{number}" for number in range(count)])
    fill(client, ["other"])
    client.tenant.switches.page_size = size
    options = ["$filter=startswith(displayName,'a %26 b%2Bc%25')"]
    options += [f"$top={top}"] if top else []
    options += ["$select=id"] if select else []
    url = f"{client.tenant.graph}/v1.0/applications?{'&'.join(options)}"
    found: list[str] = []
    pages = 0
    while url:
        page = follow(client, url)
        assert len(page["value"]) <= min(size, top or size)
        assert not select or all(set(item) == {"id"} for item in page["value"])
        found += [item["id"] for item in page["value"]]
        url = page.get("@odata.nextLink", "")
        assert not url or page["value"], "a page that is not the last one holds something"
        pages += 1
    assert found == ids
    assert pages == max(1, -(-count // min(size, top or size)))


def follow(client: Client, url: str) -> dict[str, Any]:
    from core.sandbox.service import handle

    response = handle(client.tenant, Request.to("GET", url, {"Authorization": f"bearer {client.token}"}))
    assert response.status == 200, response.body
    return response.json()


@pytest.mark.parametrize("top", ["0", "1000", "-1", "x", "1.5", "", "\u0663"])
def test_S2_a_page_holds_between_one_and_999_objects(client: Client, top: str) -> None:
    for path in ("/applications", "/users", "/servicePrincipals", "/oauth2PermissionGrants", "/domains"):
        assert client.refused("GET", f"{path}?$top={top}") == (400, "Request_BadRequest")
    assert client.get("/applications?$top=999")["value"] == []


# options that need a header, and those that nobody knows


@pytest.mark.parametrize(
    ("option", "code"),
    [
        ("$count=true", "Request_BadRequest"),
        ("$orderby=displayName", "Request_UnsupportedQuery"),
        ('$search="displayName:al"', "Request_UnsupportedQuery"),
    ],
)
def test_S2_advanced_queries_need_the_header(client: Client, option: str, code: str) -> None:
    fill(client, ["beta", "Alpha", "gamma al"])
    path = "/applications?" + option.replace('"', "%22")
    assert client.refused("GET", path) == (400, code)
    response = client.call("GET", path, **EVENTUAL)
    assert response.status == 200
    body = response.json()
    names = [item["displayName"] for item in body["value"]]
    expected = {
        "$count=true": ["beta", "Alpha", "gamma al"],
        "$orderby=displayName": ["Alpha", "beta", "gamma al"],
        '$search="displayName:al"': ["Alpha", "gamma al"],
    }[option]
    assert names == expected
    assert body.get("@odata.count") == (3 if option == "$count=true" else None)


def test_S1_an_order_may_be_reversed_and_counts_all_pages(client: Client) -> None:
    fill(client, ["b", "a", "c"])
    client.tenant.switches.page_size = 2
    path = "/applications?$orderby=displayName desc&$count=true"
    first = client.call("GET", path, **EVENTUAL).json()
    assert ([item["displayName"] for item in first["value"]], first["@odata.count"]) == (["c", "b"], 3)
    second = client.call("GET", unquote(first["@odata.nextLink"].partition("/v1.0")[2]), **EVENTUAL).json()
    assert [item["displayName"] for item in second["value"]] == ["a"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ("$skip=1", "Request_BadRequest", "'$skip' is not supported by the service."),
        ("skip=1", "Request_BadRequest", "'$skip' is not supported by the service."),
        ("$nonsense=1", "BadRequest", "$nonsense"),
        ("nonsense=1", "BadRequest", "nonsense"),
        ("$expand=nonsense", "BadRequest", "Could not find a property named 'nonsense' on type"),
        ("$expand=displayName", "BadRequest", "Could not find a property named 'displayName' on type"),
        ("$expand=owners,appManagementPolicies", "BadRequest", "one relation"),
        ("$expand=owners($filter=id eq 'x')", "BadRequest", "one relation"),
        ("$select=id&$select=appId", "BadRequest", "more than once"),
        ("$select=id&$Select=appId", "BadRequest", "more than once"),
    ],
)
def test_S2_options_that_are_not_built_are_refused_not_ignored(
    client: Client, options: str, code: str, said: str
) -> None:
    fill(client, ["alpha"])
    response = client.call("GET", f"/applications?{options}")
    error = response.json()["error"]
    assert (response.status, error["code"]) == (400, code)
    assert said in error["message"]


@pytest.mark.parametrize("option", ["$filter=id eq 'x'", "$top=1", "$orderby=id", "$count=true", "$search=%22id:x%22"])
def test_S2_a_single_object_takes_no_options_of_a_list(client: Client, option: str) -> None:
    (app_id,) = fill(client, ["alpha"])
    assert client.refused("GET", f"/applications/{app_id}?{option}") == (400, "Request_BadRequest")


@pytest.mark.parametrize("name", ["$Select", "select", "$SELECT", "Select"])
def test_S1_the_name_of_an_option_may_be_spelt_in_any_case_and_without_its_sign(client: Client, name: str) -> None:
    fill(client, ["alpha"])
    assert client.get(f"/applications?{name}=displayName&$Top=5")["value"] == [{"displayName": "alpha"}]
    response = client.call("GET", "/applications?$orderBy=displayName&$Count=true", **EVENTUAL)
    assert response.json()["@odata.count"] == 1


# every property of a type


@pytest.mark.parametrize("collection", ["applications", "servicePrincipals", "users", "organization", "domains"])
def test_S1_every_property_of_a_type_can_be_selected_and_is_null_or_empty_where_unset(collection: str) -> None:
    client = Client()
    there = schema.properties(schema.TYPE_OF[collection])
    for one in there.values():
        (found, *_) = client.get(f"/{collection}?$select={one.name.upper()}")["value"]
        assert set(found) - {"@odata.type"} == {one.name}
    every = client.get(f"/{collection}?$select={','.join(one.name for one in there.values())}")["value"]
    assert all(list(each) == [one.name for one in there.values()] for each in every), "in the order of the schema"
    assert client.refused("GET", f"/{collection}?$select=id,nonsense") == (400, "BadRequest")


@pytest.mark.parametrize("name", ["assignedLicenses", "proxyAddresses", "otherMails", "businessPhones"])
def test_S1_a_list_that_nobody_set_is_empty(name: str) -> None:
    client = Client()
    path = f"/users/{client.tenant.signed_in_user}"
    assert client.get(f"{path}?$select={name}")[name] == []
    assert client.get(f"/users?$filter={name}/any(x:x eq 'y')")["value"] == []


def test_S1_what_is_not_set_is_found_by_null(client: Client) -> None:
    ids = fill(client, ["alpha", "beta"])
    client.tenant.commit("application", ids[0], {**client.tenant.latest("application", ids[0]), "notes": "x"})  # type: ignore[dict-item]
    assert [app["id"] for app in client.get("/applications?$filter=notes eq null")["value"]] == ids[1:]


@pytest.mark.parametrize(("name", "own"), [("user", "mail"), ("application", "appId"), ("servicePrincipal", "appId")])
def test_S2_the_refusal_of_an_unknown_property_names_it_and_the_type(name: str, own: str) -> None:
    client = Client()
    for option, what in (
        ("$select=zz", "Parsing OData Select and Expand failed"),
        ("$filter=zz eq 'x'", "Invalid filter clause"),
    ):
        error = client.call("GET", f"/{name}s?{option}").json()["error"]
        said = f"{what}: Could not find a property named 'zz' on type 'microsoft.graph.{name}'."
        assert (error["code"], error["message"]) == ("BadRequest", said)
    assert client.get(f"/{name}s?$select={own}")["value"]


# what is shown unasked, and what hangs on an object


def test_S1_a_person_shows_eleven_members_unasked_and_all_of_them_on_beta() -> None:
    client = Client()
    shown = "businessPhones displayName givenName jobTitle mail mobilePhone officeLocation preferredLanguage surname "
    assert list(client.get("/me")) == ["@odata.context", *shown.split(), "userPrincipalName", "id"]
    beta = Client(version="beta").get("/me")
    assert {"assignedLicenses", "userType", "accountEnabled"} < set(beta)
    assert beta["@odata.context"].endswith("/beta/$metadata#users/$entity")


@pytest.mark.parametrize(
    ("collection", "relation"),
    [
        ("applications", "owners"),
        ("applications", "appManagementPolicies"),
        ("applications", "federatedIdentityCredentials"),
        ("servicePrincipals", "owners"),
        ("servicePrincipals", "appRoleAssignments"),
        ("servicePrincipals", "oauth2PermissionGrants"),
    ],
)
def test_S1_an_object_may_be_expanded_by_what_hangs_on_it(collection: str, relation: str) -> None:
    client = Client()
    path = f"/{collection}/{client.latest(collection.removesuffix('s'))['id']}"
    reader = client.scoped("Policy.Read.All Directory.AccessAsUser.All", *roles.APP_ADMINISTRATORS)
    alone = client.get(f"{path}/{relation}", reader)["value"][:20]
    one = client.get(f"{path}?$expand={relation}", reader)
    assert one[relation] == alone
    assert one["@odata.context"].endswith(f"#{collection}({relation}())/$entity")
    (listed,) = [item for item in client.get(f"/{collection}?$expand={relation}")["value"] if item["id"] == one["id"]]
    assert listed[relation] == alone
    chosen = client.get(f"{path}?$select=id&$expand={relation}($select=id)")
    assert set(chosen) == {"@odata.context", "id", relation}
    assert all(set(item) <= {"@odata.type", "id"} for item in chosen[relation])


def test_S1_an_expansion_shows_twenty() -> None:
    client = Client("drift")
    grants = client.get(f"/servicePrincipals/{client.principal['id']}?$expand=appRoleAssignments")["appRoleAssignments"]
    assert len(grants) == 20


@pytest.mark.parametrize("option", ["$orderby=nonsense", "$orderby=displayName up", "$search=al", "$search=%22al%22"])
def test_S2_an_order_or_search_that_makes_no_sense_is_refused(client: Client, option: str) -> None:
    fill(client, ["alpha"])
    assert client.call("GET", f"/applications?{option}", **EVENTUAL).status == 400


@pytest.mark.parametrize("collection", ["applications", "servicePrincipals", "users"])
def test_S1_a_collection_tells_its_number_to_those_who_accept_lag(client: Client, collection: str) -> None:
    fill(client, ["alpha", "beta"])
    expected = len(client.get(f"/{collection}")["value"])
    answered = client.call("GET", f"/{collection}/$count", **EVENTUAL)
    assert (answered.status, answered.headers["Content-Type"]) == (200, "text/plain")
    assert answered.body == str(expected).encode()
    assert client.refused("GET", f"/{collection}/$count") == (400, "Request_BadRequest")
    assert client.call("GET", f"/{collection}/$count?$top=1", **EVENTUAL).status == 400
    nobody = client.scoped("openid")
    assert client.call("GET", f"/{collection}/$count", token=nobody, **EVENTUAL).status == 403


def test_S1_a_number_is_of_what_the_filter_lets_through(client: Client) -> None:
    fill(client, ["alpha", "beta", "also"])
    path = "/applications/$count?$filter=startswith(displayName,'al')"
    assert client.call("GET", path, **EVENTUAL).body == b"2"


@pytest.mark.parametrize("collection", ["applications", "servicePrincipals"])
def test_S1_owners_carry_their_types(collection: str) -> None:
    client = Client()
    kind = collection.removesuffix("s")
    client.change(kind, _owners=[client.tenant.signed_in_user, client.principal["id"]])
    owners = client.get(f"/{collection}/{client.latest(kind)['id']}/owners?$select=id")["value"]
    assert [owner["@odata.type"] for owner in owners] == [
        "#microsoft.graph.user",
        "#microsoft.graph.servicePrincipal",
    ]


# parentheses, and the case of letters


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("(displayName eq 'alpha')", ["alpha"]),
        ("((displayName eq 'alpha'))", ["alpha"]),
        ("(displayName eq 'alpha') and (startswith(displayName,'al'))", ["alpha"]),
        ("startswith(displayName,'al') and (notes eq null_ and displayName eq 'x')", None),
        ("(startswith(displayName,'al') and tags/any(t:t eq 'a) and (b'))", ["also"]),
        ("DISPLAYNAME eq 'ALPHA'", ["alpha"]),
        ("startsWith(displayname,'AL') and Tags/any(t:t eq 'A) and (B')", ["also"]),
        ("notes eq 'None'", []),
        ("(displayName eq 'alpha'", None),
        ("displayName eq 'alpha')", None),
        ("()", None),
        ("(displayName eq 'alpha') or (displayName eq 'also')", ["alpha", "also"]),
        ("displayName in ('ALPHA','also') and startswith(displayName,'alp')", ["alpha"]),
        ("displayName in ()", None),
        ("displayName gt null", None),
        ("(" * 200 + "displayName eq 'alpha'" + ")" * 200, None),
    ],
)
def test_S1_a_filter_may_have_parentheses_and_any_case(client: Client, text: str, names: list[str] | None) -> None:
    fill(client, ["alpha", "beta", "also"])
    also = client.tenant.find("application", "displayName", "also")
    assert also is not None
    client.tenant.commit("application", also["id"], also | {"tags": ["a) and (b"]})
    path = f"/applications?$filter={text}"
    if names is None:
        assert client.refused("GET", path) == (400, "Request_UnsupportedQuery")
    else:
        assert [app["displayName"] for app in client.get(path)["value"]] == names


def test_S1_a_selection_may_be_spelt_in_any_case() -> None:
    client = Client()
    path = f"/applications/{client.app['id']}"
    assert client.get(f"{path}?$select=DisplayName,KEYCREDENTIALS").keys() >= {"displayName", "keyCredentials"}
    assert client.get("/applications?$select=DISPLAYNAME")["value"][0] == {"displayName": client.app["displayName"]}
    response = client.call("GET", "/applications?$orderby=DisplayName", **EVENTUAL)
    assert response.status == 200
    assert client.refused("GET", "/applications?$select=_Owners") == (400, "BadRequest")
