"""What tells a model file from all others without reading all of it."""

from __future__ import annotations

import hashlib

from vatra.formats.checkpoint import Checkpoint

_SAMPLE = 64  # bytes from the beginning, the middle and the end of each tensor


def fingerprint(checkpoint: Checkpoint) -> str:
    """128 bits in hexadecimal: of the head of each part, and of a sample of each tensor's bytes.

    A copy of the file elsewhere has the same. Raises IOFailed if a file was cut meanwhile.
    """
    digest = hashlib.blake2b(digest_size=16)
    tensors = checkpoint.tensors.values()
    for file in checkpoint.files:
        file.check_unchanged()
        places = sorted((t.offset, t.nbytes) for t in tensors if t.path == file.path)
        digest.update(file.size.to_bytes(8, "little"))
        n_head = places[0][0] if places else file.size
        digest.update(file.bytes[:n_head].data)
        file.release(0, n_head)
        for begin, n_bytes in places:
            content = file.bytes[begin : begin + n_bytes]
            for at in (0, n_bytes // 2, max(n_bytes - _SAMPLE, 0)):
                digest.update(content[at : at + _SAMPLE].data)
    return digest.hexdigest()
