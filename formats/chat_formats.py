"""Chat formats that are asked for by name, for files that have no template of their own.

The names, and the texts they make, are llama-cpp-python's.
"""

from __future__ import annotations

_SYSTEM = """\
{%- set system = messages | selectattr('role', 'equalto', 'system') | map(attribute='content')
    | first | default('', true) -%}
"""
_CHATML = """\
{{- '<|im_start|>system\\n' + system + '<|im_end|>\\n' }}
{%- for message in messages if message.role in ('user', 'assistant') -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif -%}
"""

CHAT_FORMATS: dict[str, tuple[str, tuple[str, ...]]] = {  # template, and strings that end an answer
    "chatml": (_SYSTEM + _CHATML, ("<|im_end|>",)),
    "qwen": (
        _SYSTEM + "{%- set system = system or 'You are a helpful assistant.' -%}\n" + _CHATML,
        ("<|endoftext|>", "<|im_end|>"),
    ),
    "llama-3": (
        """\
{%- for message in messages if message.role in ('system', 'user', 'assistant') -%}
{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}
{{- message.content + '<|eot_id|>' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif -%}
""",
        ("<|eot_id|>",),
    ),
    "llama-2": (
        _SYSTEM
        + """\
{%- set turns = messages | selectattr('role', 'in', ('user', 'assistant')) | list -%}
{{- '[INST] <<SYS>>\\n' + system + '\\n<</SYS>>' if system }}{{ ' ' }}
{%- for message in turns -%}
{%- if system and loop.first %}{{ message.content + ' ' }}
{%- else -%}
{{- ('<s>[INST]' if message.role == 'user' else '[/INST]') + message.content + ' ' }}
{{- ' ' if loop.index0 % 2 == 0 else '</s>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '[/INST]' }}{% endif -%}
""",
        ("</s>",),
    ),
    "mistral-instruct": (
        """\
{%- for message in messages -%}
{%- if message.role == 'user' %}{{ '[INST] ' + message.content }}
{%- elif message.role == 'assistant' %}{{ ' [/INST]' + message.content + '</s>' }}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt %}{{ ' [/INST]' }}{% endif -%}
""",
        ("</s>",),
    ),
    "gemma": (
        """\
{%- for message in messages if message.role in ('user', 'assistant') -%}
{{- '<start_of_turn>' + ('user' if message.role == 'user' else 'model') + '\\n' }}
{{- message.content + '<end_of_turn>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif -%}
""",
        ("<end_of_turn>",),
    ),
    "vicuna": (
        """\
{{- 'A chat between a curious user and an artificial intelligence assistant. ' }}
{{- 'The assistant gives helpful, detailed, and polite answers to the user\\'s questions. ' }}
{%- for message in messages if message.role in ('user', 'assistant') -%}
{{- message.role | upper + ': ' + message.content + (' ' if loop.index0 % 2 == 0 else '</s>') }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif -%}
""",
        ("</s>",),
    ),
    "zephyr": (
        _SYSTEM
        + """\
{{- '<|system|>\\n' + system + '</s>\\n' }}
{%- for message in messages if message.role in ('user', 'assistant') -%}
{{- '<|' + message.role + '|>\\n\\n' + message.content + '</s>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|assistant|>\\n\\n' }}{% endif -%}
""",
        ("</s>",),
    ),
}
