"""What `token` is measured against: the least that reads a key from the keystore and gets a token with it.

Arguments: keystore service, tenant, app id, authority, scope, CA file.
"""

import sys

import keyring
from azure.identity import CertificateCredential

service, tenant, app_id, authority, scope, ca = sys.argv[1:]
pem = keyring.get_password(service, tenant)
assert pem is not None
credential = CertificateCredential(
    tenant,
    app_id,
    certificate_data=pem.encode(),
    authority=authority,
    disable_instance_discovery=True,
    connection_verify=ca,
)
print(credential.get_token(scope).token)
