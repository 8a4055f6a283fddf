"""Manages keys with Baseten's client: BASE_URL KEY. Prints what it saw."""

import json
import sys

import httpx
from baseten.client import ManagementClient
from baseten.client.managementapi import _models as models
from baseten.client.managementapi._client import ResponseError

base, key = sys.argv[1:]
client = ManagementClient(api_key=key, base_url_override=base)
api = client.api


def listed(**params):
    keys = api.get_api_keys(params=models.GetApiKeysParams(**params) if params else None).keys
    assert all(key.created_at.tzinfo for key in keys)
    return [[key.name, key.type, key.model_ids, key.team_name] for key in keys]


def refused(call, *arguments, **named):
    try:
        call(*arguments, **named)
    except ResponseError as error:
        body = json.loads(error.body)
        return [error.status_code, body["error"]["code"]]
    return "not refused"


def new(**fields):
    return models.CreateAPIKeyRequest(**fields)


told = {"listed": listed()}
partner = {"name": "partner", "type": "WORKSPACE_INVOKE", "model_ids": ["abcd1234"]}
created = api.post_teams_api_keys(team_id="core", request=new(**partner)).api_key
told["created"] = created
told["after"] = listed()
told["filtered"] = [name for name, *_ in listed(type="WORKSPACE_INVOKE", created_by_me=True)]
predict = f"{base}/models/abcd1234/production/predict"


def use():
    return httpx.post(predict, json={}, headers={"Authorization": f"Api-Key {created}"}).status_code


told["used"] = use()
told["refused"] = {
    "personal": refused(api.post_api_keys, request=new(name="mine", type="PERSONAL")),
    "unknown_type": refused(api.post_api_keys, request=new(name="mine", type="ROUTES")),
    "unknown_model": refused(api.post_teams_api_keys, team_id="core", request=new(**{**partner, "model_ids": ["x"]})),
    "taken": refused(api.post_teams_api_keys, team_id="core", request=new(**partner)),
    "unknown_team": refused(api.post_teams_api_keys, team_id="absent", request=new(**partner)),
    "unknown_key": refused(api.delete_api_keys, api_key_prefix="acmet1_0000000000000000"),
}
in_body = new(name="in-body", type="WORKSPACE_EXPORT_METRICS", team_id=models.TeamId3("labs"))
told["in_body"] = api.post_api_keys(request=in_body).api_key[:7]
prefix = next(item.prefix for item in api.get_api_keys().keys if item.name == "partner")
assert created.startswith(prefix)
told["tombstone"] = api.delete_api_keys(api_key_prefix=prefix).prefix
told["deleted"] = use()

entries, cursor = [], None
while True:
    page = api.get_audit_logs(params=models.GetAuditLogsParams(limit=1, direction="ASC", cursor=cursor))
    entries.extend(page.items)
    cursor = page.pagination.cursor
    if not page.pagination.has_more:
        break
told["events"] = [entry.event_type for entry in entries]
told["newest"] = api.get_audit_logs().items[0].event_type
print(json.dumps(told))
