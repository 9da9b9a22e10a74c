"""Named chat formats make the texts that llama-cpp-python 0.3.36 makes."""

from __future__ import annotations

import pytest

from vatra.formats.chat_formats import CHAT_FORMATS
from vatra.formats.chat_template import ChatTemplate

MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "Who are you?"},
]
VICUNA = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions. USER: Hello ASSISTANT: "
    "Hi.</s>USER: Who are you? ASSISTANT:"
)
CHATML = (
    "<|im_start|>system\n{}<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    "Hi.<|im_end|>\n<|im_start|>user\nWho are you?<|im_end|>\n<|im_start|>assistant\n"
)
LLAMA3 = (
    "<|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>assistant"
    "<|end_header_id|>\n\nHi.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\nWho are you?"
    "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
)
GEMMA = (
    "<start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\nHi.<end_of_turn>\n"
    "<start_of_turn>user\nWho are you?<end_of_turn>\n<start_of_turn>model\n"
)
ZEPHYR = (
    "<|system|>\n{}</s>\n<|user|>\n\nHello</s>\n<|assistant|>\n\nHi.</s>\n<|user|>\n\n"
    "Who are you?</s>\n<|assistant|>\n\n"
)
MISTRAL = "[INST] Hello [/INST]Hi.</s>[INST] Who are you? [/INST]"
TEXTS = {  # with the system's message, and without
    "chatml": (CHATML.format("Be kind."), CHATML.format("")),
    "qwen": (CHATML.format("Be kind."), CHATML.format("You are a helpful assistant.")),
    "llama-2": (
        "[INST] <<SYS>>\nBe kind.\n<</SYS>> Hello [/INST]Hi. </s><s>[INST]Who are you?  [/INST]",
        " <s>[INST]Hello  [/INST]Hi. </s><s>[INST]Who are you?  [/INST]",
    ),
    "llama-3": (
        f"<|start_header_id|>system<|end_header_id|>\n\nBe kind.<|eot_id|>{LLAMA3}",
        LLAMA3,
    ),
    "mistral-instruct": (MISTRAL, MISTRAL),
    "gemma": (GEMMA, GEMMA),
    "vicuna": (VICUNA, VICUNA),
    "zephyr": (ZEPHYR.format("Be kind."), ZEPHYR.format("")),
}


@pytest.mark.parametrize("name", CHAT_FORMATS)
def test_texts(name: str) -> None:
    template = ChatTemplate(CHAT_FORMATS[name][0])
    for messages, wanted in zip((MESSAGES, MESSAGES[1:]), TEXTS[name], strict=True):
        assert "".join(segment.text for segment in template.render(messages)) == wanted
