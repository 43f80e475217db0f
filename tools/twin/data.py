"""The order of data of a run of minke: its shard, the computed permutation of src/base/shuffle.c,
sequences of one long document."""

import struct

import numpy as np

MASK = (1 << 32) - 1


def philox(seed, sequence, position):
    """Philox 4x32-10: the first of four words."""
    c = [position & MASK, position >> 32 & MASK, sequence & MASK, sequence >> 32 & MASK]
    k0, k1 = seed & MASK, seed >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [p1 >> 32 ^ c[1] ^ k0, p1 & MASK, p0 >> 32 ^ c[3] ^ k1, p0 & MASK]
        k0, k1 = k0 + 0x9E3779B9 & MASK, k1 + 0xBB67AE85 & MASK
    return c[0]


def shuffled(seed, epoch, place, n):
    """A Feistel network over the next power of four, walked until it lands below n."""
    half = 1
    while half < 31 and 1 << 2 * half < n:
        half += 1
    mask = (1 << half) - 1
    while True:
        left, right = place >> half, place & mask
        for i in range(6):
            word = philox(seed, epoch, right | i << 32 | 0x5F << 56)
            left, right = right, left ^ word & mask
        place = left << half | right
        if place < n:
            return place


def read_shard(path):
    """Ids of a token shard of one document (docs/formats.md)."""
    raw = path.read_bytes()
    magic, version, width = struct.unpack_from("<8sII", raw)
    documents, tokens = struct.unpack_from("<QQ", raw, len(raw) - 48)
    if magic != b"minke-tk" or version != 1 or documents != 1:
        raise SystemExit(f"{path}: the twin reads shards of one document, this has {documents}")
    return np.frombuffer(raw, f"<u{width}", tokens, 64).astype(np.int64)


class Corpus:
    """The sequences of a share of one document, in the order that minke draws them."""

    def __init__(self, ids, length, seed, begin, end):
        self.ids, self.length, self.seed, self.drawn = ids, length, seed, 0
        n = -(-len(ids) // length)
        self.first = int(begin * n)
        self.n = (n if end >= 1 else int(end * n)) - self.first

    def next(self):
        epoch, place = divmod(self.drawn, self.n)
        self.drawn += 1
        i = self.first + shuffled(self.seed, epoch | 1 << 48, place, self.n)
        return self.ids[i * self.length:(i + 1) * self.length]
