"""Random blocks of every GGUF number format minke reads, and gguf-py's dequantised values; and what
gguf-py makes of floats in the formats it can write.

    python tools/golden/quants.py

Writes <TYPE>.bin (raw blocks of 4 rows x 512 values) and <TYPE>.f32 (the values, raw little-endian
float32) to tests/golden/quants. Every bit pattern of the packed fields occurs; the float16 scales
are finite, of both signs, and a few are zero or subnormal. Also writes input.f32 (4 rows x 512
values) and <TYPE>.quantised, the blocks that gguf.quants.quantize makes of it.
"""

import pathlib
import zlib

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize, quantize

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/quants"
ROWS, COLS = 4, 512

# Byte offsets of the float16 fields of a block (ggml-common.h); the rest is packed integers.
SCALES = {
    "F16": None,
    "BF16": None,
    "Q8_0": [0],
    "Q4_0": [0],
    "Q4_1": [0, 2],
    "Q5_0": [0],
    "Q5_1": [0, 2],
    "Q2_K": [80, 82],
    "Q3_K": [108],
    "Q4_K": [0, 2],
    "Q5_K": [0, 2],
    "Q6_K": [208],
    "IQ4_NL": [0],
    "IQ4_XS": [0],
}


def half_floats(rng, n):
    """Scales of the size real files have, with a zero, a subnormal and a negative among them."""
    x = (rng.standard_normal(n) * 0.02).astype(np.float16)
    x[rng.integers(0, n)] = 0
    x[rng.integers(0, n)] = np.float16(6e-8 * rng.integers(1, 900))
    return x


def awkward_values():
    """Weights as they are, with outliers, with blocks of zeros and of one value, and ties."""
    rng = np.random.Generator(np.random.PCG64(7))
    x = (rng.standard_normal((ROWS, COLS)) * 0.02).astype("<f4")
    x[1] = rng.standard_t(2, COLS) * 0.02
    x[2] = np.abs(x[2]) + 0.5
    x[3, :32] = 0
    x[3, 32:64] = 0.25
    x[3, 64:96] = -0.25
    x[3, 96:128] = np.arange(-16, 16) / 2  # halves of a step
    x[3, 128:160] *= 1e-8
    return x


def write_quantised():
    x = awkward_values()
    (OUT / "input.f32").write_bytes(x.tobytes())
    for name in ("F16", "BF16", "Q8_0", "Q4_0", "Q4_1"):
        blocks = quantize(x, GGMLQuantizationType[name])
        (OUT / f"{name}.quantised").write_bytes(blocks.tobytes())


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, offsets in SCALES.items():
        kind = GGMLQuantizationType[name]
        rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
        if name == "F16":
            u = rng.integers(0, 1 << 16, ROWS * COLS, dtype=np.uint16)
            u[(u & 0x7C00) == 0x7C00] &= 0x83FF  # no infinity, no NaN; these become subnormal
            raw = u.view(np.uint8).reshape(ROWS, -1)
        elif name == "BF16":
            u = rng.integers(0, 1 << 16, ROWS * COLS, dtype=np.uint16)
            u[(u & 0x7F80) == 0x7F80] &= 0x807F
            raw = u.view(np.uint8).reshape(ROWS, -1)
        else:
            per_block, size = GGML_QUANT_SIZES[kind]
            n = ROWS * COLS // per_block
            block = rng.integers(0, 256, (n, size), dtype=np.uint8)
            for at in offsets:
                block[:, at : at + 2] = half_floats(rng, n).view(np.uint8).reshape(n, 2)
            raw = block.reshape(ROWS, -1)
        values = dequantize(raw, kind).astype("<f4")
        assert values.shape == (ROWS, COLS) and np.isfinite(values).all(), name
        (OUT / f"{name}.bin").write_bytes(raw.tobytes())
        (OUT / f"{name}.f32").write_bytes(values.tobytes())
        print(f"{name:7} {raw.nbytes:5} bytes  max {np.abs(values).max():.4g}")
    write_quantised()


if __name__ == "__main__":
    main()
