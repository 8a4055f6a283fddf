"""Asks through Anthropic's client, and prints how that ended as one JSON object.

The server has no such route: a good key gets as far as that, and another one does not.

usage: anthropic_client.py BASE_URL (api_key|auth_token|both) KEY
"""

import json
import sys

import anthropic

base_url, carrier, key = sys.argv[1:]
fields = {"api_key": key, "auth_token": key}
fields = {name: key for name in fields if carrier in (name, "both")}
client = anthropic.Anthropic(base_url=base_url, max_retries=0, **fields)
question = {"model": "abcd1234", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
try:
    client.messages.create(**question)
    answer = {"error": None}
except anthropic.APIStatusError as error:
    answer = {"error": type(error).__name__, "status": error.status_code}
print(json.dumps(answer))
