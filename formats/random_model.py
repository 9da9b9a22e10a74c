"""GGUF files of a llama shape whose weights are random blocks: for measuring, not for reading.

The blocks are drawn as bytes and only their scales are set, so nothing is quantised and a file of
1.1 billion weights takes seconds. Every matrix has a spread of about 1 / sqrt(inputs), so that
activations stay in range in any engine; the tokenizer is a valid SentencePiece-style one.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import ascii_lowercase, printable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vatra.quant import by_name
from vatra.quant.format import WeightFormat

if TYPE_CHECKING:
    from gguf import GGUFWriter

PIECE_BYTES = 64 << 20  # drawn and written at once: memory stays near this
Array = np.ndarray[Any, np.dtype[Any]]
SAMPLE_BLOCKS = 1024  # decoded to learn the spread of a format's raw blocks


@dataclass(frozen=True)
class Shape:
    """A llama model's sizes; the defaults are those of a 1.1-billion-weight model."""

    layers: int = 22
    embd: int = 2048
    ff: int = 5632
    heads: int = 32
    kv_heads: int = 4
    vocab: int = 32000
    ctx: int = 2048
    experts: int = 0
    experts_used: int = 2

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that no model has."""
        for name, size in vars(self).items():
            if size < (0 if name == "experts" else 1):
                raise ValueError(f"{name}={size} is too small")
        for name, of in (("heads", "embd"), ("kv_heads", "heads")):
            parts, whole = getattr(self, name), getattr(self, of)
            if whole % parts:
                raise ValueError(f"{of}={whole} cannot be divided among {name}={parts}")
        if self.head_dim % 2:
            raise ValueError(
                f"heads of embd / heads = {self.head_dim} values: wanted an even number"
            )
        if 0 < self.experts < self.experts_used:
            raise ValueError(
                f"experts_used={self.experts_used} are more than experts={self.experts}"
            )

    @property
    def head_dim(self) -> int:
        return self.embd // self.heads

    def matrices(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """The name and shape of every weight matrix, inputs last, in the order of the file."""
        kv_width = self.kv_heads * self.head_dim
        each, kind = ((self.experts,), "_exps") if self.experts else ((), "")
        yield "token_embd.weight", (self.vocab, self.embd)
        yield "output.weight", (self.vocab, self.embd)
        for i in range(self.layers):
            yield f"blk.{i}.attn_q.weight", (self.embd, self.embd)
            yield f"blk.{i}.attn_k.weight", (kv_width, self.embd)
            yield f"blk.{i}.attn_v.weight", (kv_width, self.embd)
            yield f"blk.{i}.attn_output.weight", (self.embd, self.embd)
            if self.experts:
                yield f"blk.{i}.ffn_gate_inp.weight", (self.experts, self.embd)
            yield f"blk.{i}.ffn_gate{kind}.weight", (*each, self.ff, self.embd)
            yield f"blk.{i}.ffn_up{kind}.weight", (*each, self.ff, self.embd)
            yield f"blk.{i}.ffn_down{kind}.weight", (*each, self.embd, self.ff)

    def norms(self) -> Iterator[str]:
        yield "output_norm.weight"
        for i in range(self.layers):
            yield f"blk.{i}.attn_norm.weight"
            yield f"blk.{i}.ffn_norm.weight"


# How far each format's minimum lies from zero, in steps of its scale, so that weights are centred:
# half the highest quant; in a K-quant the scale and the minimum of a sub-block have the same mean.
MINIMUM = {
    "q4_1": ("m", -7.5),
    "q5_1": ("m", -15.5),
    "q2_k": ("dmin", 1.5),
    "q4_k": ("dmin", 7.5),
    "q5_k": ("dmin", 15.5),
}


def random_blocks(
    weight_format: WeightFormat, n_blocks: int, std: float, rng: np.random.Generator
) -> Array:
    """uint8 (n_blocks * block_bytes,): random blocks whose weights spread about `std`, roughly."""
    if weight_format.block == 1:
        values = rng.standard_normal(n_blocks, dtype=np.float32) * np.float32(std)
        return weight_format.encode(values)
    name = weight_format.name
    drawn = np.frombuffer(rng.bytes(n_blocks * weight_format.block_bytes), np.uint8).copy()
    set_scale(weight_format, drawn, std / unit_spread(weight_format))
    blocks = drawn.view(weight_format.layout)
    if (
        "d" in (blocks.dtype.names or ())
        and blocks["d"].dtype == np.float16
        and name not in MINIMUM
    ):
        # codes like -8 .. 7 have a mean, which matrices amplify until all tokens look alike
        blocks["d"] *= rng.choice(np.array([-1, 1], np.float16), n_blocks)
    return drawn


def set_scale(weight_format: WeightFormat, data: Array, scale: float) -> None:
    """Give every block in the bytes `data` the scale nearest to `scale` that the format has."""
    blocks, name = data.view(weight_format.layout), weight_format.name
    if name == "mxfp4":  # a power of two, biased
        blocks["e"] = 127 + round(math.log2(scale))
    elif name == "nvfp4":  # four unsigned E4M3 scales
        codes = np.arange(1, 127)
        exponent, mantissa = codes >> 3, codes & 7
        values = np.where(exponent, (8 + mantissa) * 2.0 ** (exponent - 10), mantissa * 2.0**-9)
        blocks["d"] = codes[np.argmin(np.abs(np.log(values / scale)))]
    elif name == "iq1_m":  # a float16 in the upper four bits of four words
        half = int(np.float16(scale).view(np.uint16))
        nibbles = [(half >> 4 * i & 15) << 12 for i in range(4)]
        blocks["scales"] = blocks["scales"] & 0x0FFF | np.array(nibbles, np.uint16)
    else:
        blocks["d"] = scale
    if name in MINIMUM:
        field, steps = MINIMUM[name]
        blocks[field] = scale * steps


@cache
def unit_spread(weight_format: WeightFormat) -> float:
    """The root mean square of the weights in random blocks whose scale is 1."""
    n_bytes = SAMPLE_BLOCKS * weight_format.block_bytes
    drawn = np.frombuffer(np.random.default_rng(0).bytes(n_bytes), np.uint8).copy()
    set_scale(weight_format, drawn, 1.0)
    return float(np.sqrt(np.mean(weight_format.decode(drawn.reshape(1, -1)) ** 2)))


class Vocabulary(NamedTuple):
    """One entry per token id; `types` are GGUF's: 1 normal, 2 unknown, 3 control, 6 byte."""

    pieces: list[bytes]
    scores: list[float]
    types: list[int]


def vocabulary(size: int) -> Vocabulary:
    """A SentencePiece-style vocabulary of `size` made-up pieces.

    Unknown, begin, end, the 256 bytes, the printable characters, then ever longer runs of letters,
    with and without the leading space mark, so that every piece can be reached by merges. Raises
    ValueError if that leaves no piece.
    """
    special = [b"<unk>", b"<s>", b"</s>", *(b"<0x%02X>" % i for i in range(256))]
    n_made_up = size - len(special)
    if n_made_up < 1:
        raise ValueError(f"a vocabulary needs more than {len(special)} tokens, got {size}")
    return Vocabulary(
        special + list(itertools.islice(_made_up(), n_made_up)),
        [0.0] * len(special) + [-float(i) for i in range(n_made_up)],
        [2, 3, 3] + [6] * 256 + [1] * n_made_up,
    )


def _made_up() -> Iterator[bytes]:
    mark = "\u2581"
    yield mark.encode()
    for character in printable.strip():
        yield character.encode()
    for length in itertools.count(1):
        for letters in itertools.product(ascii_lowercase, repeat=length):
            word = "".join(letters)
            if length > 1:
                yield word.encode()
            yield (mark + word).encode()


def write(
    path: Path, shape: Shape, format_name: str, output_format: str | None = None, seed: int = 1
) -> None:
    """Write the model file; the same arguments give the same bytes.

    `output_format` is for the output matrix alone. Raises ValueError if a matrix's inputs are not
    a multiple of its format's block, or the vocabulary is too small.
    """
    from gguf import GGUFWriter

    formats = {name: by_name(format_name) for name, _ in shape.matrices()}
    formats["output.weight"] = by_name(output_format or format_name)
    formats |= {name: by_name("f32") for name in formats if "ffn_gate_inp" in name}
    pieces = vocabulary(shape.vocab)
    writer = GGUFWriter(path, "llama")
    add_metadata(writer, shape, pieces)
    for name, dims in shape.matrices():
        n_bytes = math.prod(dims[:-1]) * formats[name].row_bytes(dims[-1])
        # Not uint8, or the writer would count bytes and look the number up in its own table.
        number: Any = formats[name].id
        writer.add_tensor_info(name, dims, np.dtype(np.int8), n_bytes, number)
    ones = np.ones(shape.embd, np.float32)
    for name in shape.norms():
        writer.add_tensor_info(name, ones.shape, ones.dtype, ones.nbytes)

    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    assert writer.fout is not None
    file: Any = writer.fout[0]
    writer.write_padding(file, file.tell())
    rng = np.random.Generator(np.random.SFC64(seed))
    for name, dims in shape.matrices():
        weight_format, inputs = formats[name], dims[-1]
        n_blocks = math.prod(dims) // weight_format.block
        step = PIECE_BYTES // weight_format.block_bytes
        for start in range(0, n_blocks, step):
            n = min(step, n_blocks - start)
            file.write(random_blocks(weight_format, n, inputs**-0.5, rng).data)
        writer.write_padding(file, n_blocks * weight_format.block_bytes)
    for _ in shape.norms():
        file.write(ones.data)
        writer.write_padding(file, ones.nbytes)
    writer.close()


def add_metadata(writer: GGUFWriter, shape: Shape, vocabulary: Vocabulary) -> None:
    """Everything that a llama file says beside its tensors."""
    writer.add_name("random weights")
    writer.add_context_length(shape.ctx)
    writer.add_embedding_length(shape.embd)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ff)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_rope_dimension_count(shape.head_dim)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
    writer.add_rope_freq_base(10000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocab)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(vocabulary.pieces)
    writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.types)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
