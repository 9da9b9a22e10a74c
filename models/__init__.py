"""Architectures: from a file's metadata and tensors to a plan of what is computed."""

from __future__ import annotations

if __name__ != "vatra.models":
    raise ImportError(f"import this package as vatra.models, not {__name__}")

from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module

from vatra.errors import UnsupportedFile
from vatra.formats.checkpoint import Checkpoint
from vatra.models.plan import Plan

Builder = Callable[[Checkpoint, int | None], Plan]

# general.architecture -> the module of vatra.models.architectures that has its `build`
MODULES: dict[str, str] = {
    "afmoe": "windowed_mixture",
    "apertus": "apertus",
    "arcee": "dense",
    "arctic": "arctic",
    "arwkv7": "rwkv7",
    "baichuan": "dense",
    "bailingmoe": "mixture",
    "bailingmoe2": "mixture",
    "bailingmoe3": "bailingmoe3",
    "bert": "bert",
    "bitnet": "bitnet",
    "bloom": "gpt",
    "chameleon": "chameleon",
    "chatglm": "glm",
    "codeshell": "gpt",
    "cogvlm": "dense",
    "cohere2": "cohere",
    "cohere2moe": "cohere",
    "command-r": "cohere",
    "dbrx": "dbrx",
    "deci": "deci",
    "deepseek": "mixture",
    "deepseek2": "deepseek2",
    "deepseek2-ocr": "mixture",
    "deepseek32": "deepseek32",
    "dots1": "mixture",
    "dots3note": "dots3note",
    "dream": "dense",
    "ernie4_5": "dense",
    "ernie4_5-moe": "mixture",
    "eurobert": "dense",
    "exaone": "dense",
    "exaone-moe": "windowed_mixture",
    "exaone4": "windowed",
    "falcon": "gpt",
    "falcon-h1": "falcon_h1",
    "gemma": "gemma",
    "gemma-embedding": "gemma",
    "gemma2": "gemma",
    "gemma3": "gemma",
    "gemma3n": "gemma3n",
    "gemma4": "gemma4",
    "glm-dsa": "deepseek32",
    "glm4": "glm",
    "glm4moe": "glm",
    "gpt-oss": "gpt_oss",
    "gpt2": "gpt",
    "gptneox": "gpt",
    "granite": "granite",
    "granite_swa": "granite",
    "granitehybrid": "granitehybrid",
    "granitemoe": "granite",
    "grok": "grok",
    "hrm_text": "hrm_text",
    "hunyuan-dense": "dense",
    "hunyuan-moe": "mixture",
    "hunyuan_vl": "dense",
    "hy_v3": "mixture",
    "hy_v4": "hy_v4",
    "internlm2": "dense",
    "jais": "gpt",
    "jais2": "gpt",
    "jamba": "jamba",
    "jina-bert-v2": "bert",
    "jina-bert-v3": "bert",
    "kimi-linear": "kimi",
    "laguna": "windowed_mixture",
    "lfm2": "lfm2",
    "lfm2moe": "lfm2",
    "llada": "dense",
    "llada-moe": "mixture",
    "llama": "llama",
    "llama-embed": "dense",
    "llama4": "llama4",
    "maincoder": "dense",
    "mamba": "mamba",
    "mamba2": "mamba",
    "maple": "windowed_mixture",
    "mellum": "windowed_mixture",
    "mimo2": "windowed_mixture",
    "minicpm": "granite",
    "minicpm3": "minicpm3",
    "minimax-01": "minimax01",
    "minimax-m2": "mixture",
    "minimax-m3": "minimax_m3",
    "mistral3": "dense",
    "mistral4": "deepseek2",
    "modern-bert": "modern_bert",
    "mpt": "gpt",
    "muse-glimmer": "windowed",
    "nanbeige": "dense",
    "neo-bert": "neo_bert",
    "nemotron": "gpt",
    "nemotron_h": "nemotron_h",
    "nemotron_h_moe": "nemotron_h",
    "nomic-bert": "bert",
    "nomic-bert-moe": "bert",
    "olmo": "olmo",
    "olmo2": "windowed",
    "olmoe": "mixture",
    "openelm": "dense",
    "orion": "gpt",
    "paddleocr": "dense",
    "pangu-embedded": "dense",
    "phi2": "gpt",
    "phi3": "phi",
    "phimoe": "phi",
    "plamo": "plamo",
    "plamo2": "plamo2",
    "plamo3": "windowed",
    "plm": "minicpm3",
    "qwen": "dense",
    "qwen2": "qwen2",
    "qwen2moe": "mixture",
    "qwen2vl": "dense",
    "qwen3": "qwen3",
    "qwen35": "qwen35",
    "qwen35moe": "qwen35",
    "qwen3moe": "qwen3",
    "qwen3next": "qwen35",
    "qwen3vl": "dense",
    "qwen3vlmoe": "qwen3",
    "refact": "refact",
    "rnd1": "mixture",
    "rwkv6": "rwkv6",
    "rwkv6qwen2": "rwkv6",
    "rwkv7": "rwkv7",
    "seed_oss": "dense",
    "smallthinker": "smallthinker",
    "smollm3": "dense",
    "spark2_5": "windowed",
    "stablelm": "gpt",
    "starcoder": "gpt",
    "starcoder2": "gpt",
    "step35": "windowed_mixture",
    "t5encoder": "t5encoder",
    "talkie": "talkie",
    "xverse": "dense",
}
_registered: dict[str, Builder] = {}


def register(architecture: str, build: Builder) -> None:
    """Read files of `architecture` by `build`, from now on and before any that Vatra has."""
    _registered[architecture] = build


def known() -> list[str]:
    """The architectures that files may have."""
    return sorted({*MODULES, *_registered})


def read(checkpoint: Checkpoint, n_ctx: int | None = None) -> Plan:
    """What the model in an open checkpoint computes; `n_ctx` is the context it will be run with.

    Raises BadFile where a key or tensor is missing or wrong, UnsupportedFile where the file asks
    for an architecture or a variant that is not known.
    """
    name = checkpoint.architecture
    if name in _registered:
        return _registered[name](checkpoint, n_ctx)
    if name not in MODULES:
        near = get_close_matches(name, known(), 3)
        hint = f"; nearest known: {', '.join(near)}" if near else ""
        what = f"{name!r} is not supported{hint}; `vatra inspect --architectures` lists all"
        raise UnsupportedFile(checkpoint.path, what, field="general.architecture")
    module = import_module(f"vatra.models.architectures.{MODULES[name]}")
    plan: Plan = module.build(checkpoint, n_ctx)
    return plan
