"""msgraph-sdk: an app registration and its service principal from their creation to their deletion."""

import asyncio
import json
import sys
from typing import Any

from azure.identity import ClientSecretCredential
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph.generated.applications.applications_request_builder import ApplicationsRequestBuilder
from msgraph.generated.applications.item.add_password.add_password_post_request_body import AddPasswordPostRequestBody
from msgraph.generated.applications.item.remove_password.remove_password_post_request_body import (
    RemovePasswordPostRequestBody,
)
from msgraph.generated.models.application import Application
from msgraph.generated.models.o_data_errors.o_data_error import ODataError
from msgraph.generated.models.password_credential import PasswordCredential
from msgraph.generated.models.service_principal import ServicePrincipal
from msgraph.graph_service_client import GraphServiceClient
from msgraph_core.tasks.page_iterator import PageIterator

given = json.load(sys.stdin)
options = {} if given["public"] else {"authority": given["authority"], "disable_instance_discovery": True}
credential = ClientSecretCredential(given["tenant"], given["app"], given["secret"], **options)
client = GraphServiceClient(credential, scopes=[f"{given['graph']}/.default"])
if not given["public"]:
    client.request_adapter.base_url = f"{given['graph']}/v1.0"


async def listed(start: str) -> list[str]:
    """The names of the apps that begin so, from every page."""
    parameters = ApplicationsRequestBuilder.ApplicationsRequestBuilderGetQueryParameters(
        filter=f"startswith(displayName,'{start}')", select=["id", "displayName"], top=2
    )
    first = await client.applications.get(request_configuration=RequestConfiguration(query_parameters=parameters))
    names: list[str] = []

    def keep(app: Any) -> bool:
        names.append(app.display_name)
        return True

    await PageIterator(first, client.request_adapter).iterate(keep)
    return names


async def main() -> dict[str, Any]:
    saw: dict[str, Any] = {"listed": await listed(given["start"])}
    app = await client.applications.post(Application(display_name="made by the SDK", tags=["one"]))
    here = client.applications.by_application_id(app.id)
    saw["made"] = {"id": app.id, "app_id": app.app_id, "created": app.created_date_time.isoformat()}
    saw["patched"] = await here.patch(Application(display_name="changed by the SDK", notes="x"))
    again = await here.get()
    saw["read"] = {"name": again.display_name, "tags": again.tags, "notes": again.notes}
    wanted = AddPasswordPostRequestBody(password_credential=PasswordCredential(display_name="by the SDK"))
    password = await here.add_password.post(wanted)
    saw["password"] = {"secret": password.secret_text, "hint": password.hint, "id": str(password.key_id)}
    saw["passwords"] = [entry.display_name for entry in (await here.get()).password_credentials]
    await here.remove_password.post(RemovePasswordPostRequestBody(key_id=password.key_id))
    saw["left"] = (await here.get()).password_credentials
    principal = await client.service_principals.post(ServicePrincipal(app_id=app.app_id))
    there = client.service_principals.by_service_principal_id(principal.id)
    await there.patch(ServicePrincipal(notes="y"))
    saw["principal"] = {"id": principal.id, "notes": (await there.get()).notes}
    saw["by app id"] = (await client.service_principals_with_app_id(app.app_id).get()).id
    await there.delete()
    await here.delete()
    try:
        await here.get()
    except ODataError as error:
        saw["gone"] = [error.response_status_code, error.error.code, bool(error.error.inner_error.request_id)]
    return saw


print(json.dumps(asyncio.run(main())))
