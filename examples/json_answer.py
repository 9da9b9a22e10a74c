"""An answer in the form of a JSON schema: no other text can be written."""

import json
import sys

import vatra

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
        "animals": {"type": "array", "items": {"enum": ["cat", "dog", "owl"]}, "maxItems": 3},
    },
    "required": ["name", "age", "animals"],
    "additionalProperties": False,
}

with vatra.load(*sys.argv[1:]) as model:
    question = {"role": "user", "content": "Describe a child and its animals in JSON."}
    grammar = vatra.Grammar.json_schema(SCHEMA)
    steps = model.chat([question], seed=1, grammar=grammar)
    text = "".join(step.text for step in steps)
    print(json.dumps(json.loads(text), indent=2))
