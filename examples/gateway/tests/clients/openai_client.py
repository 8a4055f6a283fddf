"""Asks the model through the official OpenAI client, and prints what it got as one JSON object.

usage: openai_client.py BASE_URL API_KEY
"""

import json
import sys

import openai

base_url, api_key = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key=api_key, max_retries=0)
question = {"model": "abcd1234", "messages": [{"role": "user", "content": "hello"}]}
try:
    whole = client.chat.completions.create(**question).choices[0].message.content
    parts = [
        chunk.choices[0].delta.content
        for chunk in client.chat.completions.create(**question, stream=True)
        if chunk.choices and chunk.choices[0].delta.content
    ]
    answer = {"whole": whole, "parts": parts}
except openai.APIStatusError as error:
    answer = {"error": type(error).__name__, "status": error.status_code}
print(json.dumps(answer))
