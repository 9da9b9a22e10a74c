"""What LiteLLM gets from a server, as JSON: `python litellm_client.py URL`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # it asks the network otherwise

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}


def main(url: str) -> dict[str, Any]:
    import litellm

    litellm.suppress_debug_info = True
    found: dict[str, Any] = {}
    server: dict[str, Any] = {"api_base": f"{url}/v1", "api_key": "none"}
    chat: dict[str, Any] = {"model": "openai/first", **server}

    def said(text: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": text}]

    done = litellm.completion(messages=said("hello big world"), max_tokens=2, **chat)
    found["chat"] = [done.choices[0].message.content, done.choices[0].finish_reason]
    found["usage"] = done.usage.total_tokens
    chunks = litellm.completion(
        messages=said("think a b"), stream=True, stream_options={"include_usage": True}, **chat
    )
    deltas = [chunk.choices[0].delta for chunk in chunks]
    found["stream"] = "".join(delta.content or "" for delta in deltas)
    found["thinking"] = "".join(getattr(d, "reasoning_content", None) or "" for d in deltas)
    done = litellm.completion(messages=said("x"), tools=[WEATHER], tool_choice="required", **chat)
    [call] = done.choices[0].message.tool_calls
    found["call"] = [call.function.name, json.loads(call.function.arguments)]
    done = litellm.completion(messages=said("x"), response_format={"type": "json_object"}, **chat)
    found["json"] = done.choices[0].message.content
    done = litellm.text_completion(model="text-completion-openai/first", prompt="a b", **server)
    found["text"] = done.choices[0].text
    done = litellm.embedding(model="openai/vectors", input=["abc"], **server)
    found["embedding"] = done.data[0]["embedding"]
    for name, text in (("full", "full"), ("busy", "busy")):
        try:
            litellm.completion(messages=said(text), num_retries=0, max_retries=0, **chat)
        except Exception as error:
            found[name] = type(error).__name__
    done = litellm.completion(model="ollama_chat/first", messages=said("a b"), api_base=url)
    found["ollama"] = done.choices[0].message.content
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
