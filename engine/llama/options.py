"""The arguments of `Llama` that say how to load a model: what is done, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vatra.engine.executor import KV_TYPES, KVType
from vatra.errors import WrongArgument
from vatra.quant.registry import FORMATS

UNSPECIFIED = -1
RANDOM_SEED = 0xFFFFFFFF
POOLINGS = {0: "none", 1: "mean", 2: "cls", 3: "last"}  # by number; -1 is what the file says
_KV_TYPES = {FORMATS[name].id: name for name in KV_TYPES}  # by ggml's ids
# What would change results if it were done: the values that ask for nothing.
_REFUSED: dict[str, tuple[Any, ...]] = {
    "kv_overrides": (None, {}),
    "rope_scaling_type": (None, UNSPECIFIED),
    "attention_type": (UNSPECIFIED,),
    "rope_freq_base": (0,),
    "rope_freq_scale": (0,),
    "yarn_ext_factor": (-1,),
    "yarn_attn_factor": (1,),
    "yarn_beta_fast": (32,),
    "yarn_beta_slow": (1,),
    "yarn_orig_ctx": (0,),
    "lora_base": (None,),
    "lora_path": (None,),
    "draft_model": (None,),
    "tokenizer": (None,),
    "tfs_z": (1,),
    "penalize_nl": (True,),
}


def refuse(given: Mapping[str, Any]) -> None:
    """Raise WrongArgument for the first of some arguments that asks for what is not done."""
    for name in _REFUSED.keys() & given.keys():
        if given[name] not in _REFUSED[name]:
            plain = " or ".join(map(repr, _REFUSED[name]))
            raise WrongArgument(
                f"{name}: got {given[name]!r:.60}, wanted {plain}: Vatra does not do it"
            )


def kv_type(type_k: int | None, type_v: int | None) -> KVType:
    """The precision of the KV cache, f16 where nothing is said."""
    k, v = (1 if given is None else given for given in (type_k, type_v))
    if k != v:
        raise WrongArgument(f"type_k, type_v: got {k} and {v}, wanted the same for both")
    if k not in _KV_TYPES:
        known = ", ".join(f"{number} ({name})" for number, name in _KV_TYPES.items())
        raise WrongArgument(f"type_k, type_v: got {k!r}, wanted one of {known}")
    return _KV_TYPES[k]


def pooling(pooling_type: int) -> str | None:
    """The name of a pooling, None for what the file says."""
    if pooling_type == UNSPECIFIED:
        return None
    if pooling_type not in POOLINGS:
        known = ", ".join(f"{number} ({name})" for number, name in POOLINGS.items())
        raise WrongArgument(f"pooling_type: got {pooling_type!r}, wanted -1 or one of {known}")
    return POOLINGS[pooling_type]
