"""A function that the model may call: its calls are done, and it is told the results.

The toy has not learned to call functions and just answers; a model that has will use the tool.
"""

import sys

import vatra

PLACES = {"London": "rain, 11 degrees", "Cairo": "sun, 31 degrees"}


def weather(place: str) -> str:
    return PLACES.get(place, "not known")


TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place now.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string"}},
            "required": ["place"],
        },
    },
}

with vatra.load(*sys.argv[1:]) as model:
    conversation = vatra.Conversation(model, tools=[TOOL])
    steps = conversation.say("What is the weather in Cairo?", max_tokens=200)
    answer = "".join(step.text for step in steps)
    if steps.tool_calls:
        print("it calls", *(f"{c.name}({c.arguments})" for c in steps.tool_calls))
        results = {call.id: weather(**call.arguments) for call in steps.tool_calls}
        answer = "".join(step.text for step in conversation.tell(results, max_tokens=200))
    print(answer)
