"""What PyTorch makes of numbers in V3's FP8 scheme (V3 report, section 3.3).

    python tools/golden/fp8.py

Writes tests/golden/fp8. The input [131, 150] follows from integers (`values`), so the test makes it
itself. NAME.codes holds the bytes of torch.float8_e4m3fn [131, 150], NAME.scales the float32 scales
of the tiles, row by row; what a training step sees is code * scale. e5m6.f32 holds the first 16
rows in E5M6, which PyTorch does not have: multiples of the format's step, found in float64.
bf16.bin: the same rows as torch.bfloat16.
"""

import pathlib

import numpy as np
import torch

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests/golden/fp8"
ROWS, COLUMNS, FEW, TILE = 131, 150, 16, 128
MAX = 448.0


def scrambled(n, salt):
    """Bits 40..63 of a hash of the index."""
    x = (np.arange(n, dtype=np.uint64) + np.uint64(1000003 * salt)) * np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(32)
    x *= np.uint64(0xD6E8FEB86659FD93)
    x ^= x >> np.uint64(32)
    return x >> np.uint64(40)


def values():
    """Magnitudes from 2^-18 to 8 in every tile, so that some become subnormal or 0; rows 3 and 4 are
    full of ties (their scale is 1), row 5 is 0 but for column 140, row 6 is tiny, row 7
    reaches the subnormal numbers of E5M6."""
    n = ROWS * COLUMNS
    x = (scrambled(n, 1).astype(np.float32) - np.float32(1 << 23)) / np.float32(1 << 23)
    x = np.ldexp(x, (scrambled(n, 2) % 16).astype(np.int32) - 12).reshape(ROWS, COLUMNS)
    j = np.arange(COLUMNS, dtype=np.float32)
    x[3], x[4] = j / 1024, -j / 2
    x[3:5, [0, 128]] = MAX
    x[5] = 0
    x[5, 140] = -3
    x[6] *= np.float32(2**-20)
    x[7] *= np.float32(2**-21)
    x[7, [0, 128]] = 1.9
    return torch.from_numpy(x.astype(np.float32))


def up_to_power_of_two(s):
    mantissa, exponent = torch.frexp(s)  # s = mantissa * 2^exponent, 0.5 <= mantissa < 1
    return torch.ldexp(torch.ones_like(s), exponent - (mantissa == 0.5).int())


def quantise(x, height, width, power_of_two, largest=MAX, least=1e-4):
    """x / s, and s: in every tile, and for every value."""
    rows, columns = -(-x.shape[0] // height), -(-x.shape[1] // width)
    padded = torch.nn.functional.pad(
        x, (0, columns * width - x.shape[1], 0, rows * height - x.shape[0])
    )
    amax = padded.view(rows, height, columns, width).abs().amax(dim=(1, 3))
    s = amax.clamp(min=least) / largest
    s = up_to_power_of_two(s) if power_of_two else s
    each = s.repeat_interleave(height, 0).repeat_interleave(width, 1)[: x.shape[0], : x.shape[1]]
    return x / each, s, each


def e5m6(y):
    y = y.double()
    exponent = (torch.frexp(y.abs())[1] - 1).clamp(min=-14).double()  # of 2^e <= |y| < 2^(e + 1)
    step = torch.exp2(exponent - 6)
    return torch.clamp(torch.round(y / step) * step, -65024, 65024)  # torch.round: ties to even


def main():
    OUT.mkdir(exist_ok=True)
    x = values()
    shapes = {"rows": (1, TILE), "columns": (TILE, 1), "blocks": (TILE, TILE)}
    for name, (height, width) in shapes.items():
        for ending, power_of_two in (("", False), ("_pow2", True)):
            y, s, _ = quantise(x, height, width, power_of_two)
            codes = y.to(torch.float8_e4m3fn)
            assert not codes.float().isnan().any()
            (OUT / f"{name}{ending}.codes").write_bytes(codes.view(torch.uint8).numpy().tobytes())
            (OUT / f"{name}{ending}.scales").write_bytes(s.numpy().tobytes())
    y, _, s = quantise(x[:FEW], 1, TILE, True, 65024.0)
    (OUT / "e5m6.f32").write_bytes((e5m6(y) * s.double()).float().numpy().tobytes())
    bf16 = x[:FEW].to(torch.bfloat16)
    (OUT / "bf16.bin").write_bytes(bf16.contiguous().view(torch.int16).numpy().tobytes())


if __name__ == "__main__":
    main()
