/* matmul_blocks_avx2.c: block weights times rounded activations, 256 bits at a time.
 *
 * Each 32 inputs of a panel are unpacked once into first-level cache, then every row of the chunk
 * meets them in tiles of 4 rows x 16 outputs. `maddubs` multiplies 4 inputs of 8 outputs and leaves
 * two 16-bit sums an output. Those may be added over several groups before widening, because
 *     weights 0 .. 15, 16 products a sum:               15 * 127 * 16 < 2^15
 *     weights 0 .. 63 less an offset, 8 products a sum: 32 * 127 * 8  < 2^15
 * where the sum starts at -offset * sum(x), and what happens between start and end may wrap. Signed
 * weights give |w| * (x with the sign of w), widened at once. */
#include <math.h>

#include "kernels/cpu/x86/matmul_x86.h"

#define TILE 4

/* One unpacked block: what panel_block holds, as this file's products want it. */
struct block {
    _Alignas(32) uint8_t q[8][MK_PANEL][4]; /* unsigned: the offset is still in it */
    _Alignas(32) float d[MK_PANEL], m[MK_PANEL];
    _Alignas(32) int16_t sub[2][MK_PANEL][2], min[2][MK_PANEL][2]; /* each twice, for madd */
};

/* ---- Unpacking quants ---- */

static inline __m256i load(const void *p)
{
    return _mm256_loadu_si256(p);
}

MK_INLINE void unpack_nibbles(struct block *b, const unsigned char *plane)
{
    const __m256i mask = _mm256_set1_epi8(15);

    MK_UNROLL
    for (int i = 0; i < 8; i++) { /* half i % 2 of the lanes, groups i / 2 * 2 and the next */
        __m256i v = load(plane + 32 * i);
        uint8_t *out = &b->q[i / 2 * 2][i % 2 * 8][0];

        _mm256_store_si256((__m256i *)out, _mm256_and_si256(v, mask));
        _mm256_store_si256((__m256i *)(out + 64),
                           _mm256_and_si256(_mm256_srli_epi16(v, 4), mask));
    }
}

/* Adds bit g of `plane` at bit `to` of group g. */
MK_INLINE void unpack_bits(struct block *b, const unsigned char *plane, int to)
{
    const __m256i mask = _mm256_set1_epi8((char)(1 << to));

    for (int half = 0; half < 2; half++) {
        __m256i bits = load(plane + 32 * half);

        MK_UNROLL
        for (int g = 0; g < 8; g++) {
            __m256i *q = (__m256i *)&b->q[g][8 * half][0];
            __m256i at = g < to ? _mm256_slli_epi16(bits, to > g ? to - g : 0)
                                : _mm256_srli_epi16(bits, g > to ? g - to : 0);

            *q = _mm256_or_si256(*q, _mm256_and_si256(at, mask));
        }
    }
}

/* Sets (or adds to what is there) bits 2 i, 2 i + 1 of plane h at bit `to` of group 4 h + i. */
MK_INLINE void unpack_pairs(struct block *b, const unsigned char *plane, int to, bool add)
{
    const __m256i mask = _mm256_set1_epi8((char)(3 << to));

    for (int part = 0; part < 4; part++) {
        __m256i bits = load(plane + 32 * part);

        MK_UNROLL
        for (int i = 0; i < 4; i++) {
            __m256i *q = (__m256i *)&b->q[part / 2 * 4 + i][part % 2 * 8][0];
            __m256i at = 2 * i < to ? _mm256_slli_epi16(bits, to > 2 * i ? to - 2 * i : 0)
                                    : _mm256_srli_epi16(bits, 2 * i > to ? 2 * i - to : 0);

            at = _mm256_and_si256(at, mask);
            *q = add ? _mm256_or_si256(*q, at) : at;
        }
    }
}

MK_INLINE void unpack_iq4(struct block *b, const unsigned char *plane)
{
    const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128((const void *)mk_iq4_values));

    unpack_nibbles(b, plane);
    for (int i = 0; i < 16; i++) {
        __m256i *q = (__m256i *)b->q + i;

        *q = _mm256_shuffle_epi8(table, *q);
    }
}

/* ---- Unpacking scales ---- */

MK_INLINE void load_f16(float *out, const unsigned char *p)
{
    _mm256_store_ps(out, _mm256_cvtph_ps(_mm_loadu_si128((const void *)p)));
    _mm256_store_ps(out + 8, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(p + 16))));
}

/* out = f16 scales times sixteen small integers, signed or (scale > 0) unsigned bytes. */
MK_INLINE void scaled(float *out, const unsigned char *d, __m128i bytes, bool negate)
{
    __m256 low = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    __m256 high = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(bytes, 8)));
    const __m256 sign = _mm256_set1_ps(negate ? -0.0f : 0.0f);

    load_f16(out, d);
    _mm256_store_ps(out, _mm256_mul_ps(_mm256_xor_ps(_mm256_load_ps(out), sign), low));
    _mm256_store_ps(out + 8, _mm256_mul_ps(_mm256_xor_ps(_mm256_load_ps(out + 8), sign), high));
}

/* Sixteen bytes as pairs of equal 16-bit numbers. */
MK_INLINE void spread_pairs(int16_t out[MK_PANEL][2], __m128i bytes)
{
    __m256i wide = _mm256_cvtepi8_epi16(bytes);
    __m256i low = _mm256_unpacklo_epi16(wide, wide), high = _mm256_unpackhi_epi16(wide, wide);

    _mm256_store_si256((__m256i *)&out[0][0], _mm256_permute2x128_si256(low, high, 0x20));
    _mm256_store_si256((__m256i *)&out[8][0], _mm256_permute2x128_si256(low, high, 0x31));
}

MK_INLINE __m128i row16(const unsigned char *rows, int i)
{
    return _mm_loadu_si128((const void *)(rows + i * MK_PANEL));
}

/* Q4_K, Q5_K: scale and minimum i of 8, 6 bits each in 12 bytes. */
static inline void scales_q4_k(struct block *b, const unsigned char *unit, int i)
{
    const unsigned char *rows = unit + 64;
    const __m128i low4 = _mm_set1_epi8(15), low6 = _mm_set1_epi8(63), top = _mm_set1_epi8(0x30);
    __m128i scale, min;

    if (i < 4) {
        scale = _mm_and_si128(row16(rows, i), low6);
        min = _mm_and_si128(row16(rows, i + 4), low6);
    } else {
        __m128i both = row16(rows, i + 4);

        scale = _mm_or_si128(_mm_and_si128(both, low4),
                             _mm_and_si128(_mm_srli_epi16(row16(rows, i - 4), 2), top));
        min = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(both, 4), low4),
                           _mm_and_si128(_mm_srli_epi16(row16(rows, i), 2), top));
    }
    scaled(b->d, unit + MK_UNIT_D, scale, false);
    scaled(b->m, unit + MK_UNIT_M, min, true);
}

static inline void scales_iq4_xs(struct block *b, const unsigned char *unit, int i)
{
    __m128i low = row16(unit + 64, i / 2);
    __m256i high = _mm256_srl_epi16(load(unit + 32), _mm_cvtsi32_si128(2 * i));
    __m128i high8;

    high = _mm256_and_si256(high, _mm256_set1_epi16(3));
    high8 = _mm_packus_epi16(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
    low = _mm_and_si128(i % 2 ? _mm_srli_epi16(low, 4) : low, _mm_set1_epi8(15));
    low = _mm_or_si128(low, _mm_slli_epi16(high8, 4));
    scaled(b->d, unit + MK_UNIT_D, _mm_sub_epi8(low, _mm_set1_epi8(32)), false);
}

static inline void scales_q2_k(struct block *b, const unsigned char *unit, int i)
{
    const __m128i mask = _mm_set1_epi8(15);

    for (int s = 0; s < 2; s++) {
        __m128i both = row16(unit + 64, 2 * i + s);

        spread_pairs(b->sub[s], _mm_and_si128(both, mask));
        spread_pairs(b->min[s], _mm_and_si128(_mm_srli_epi16(both, 4), mask));
    }
    load_f16(b->d, unit + MK_UNIT_D);
    scaled(b->m, unit + MK_UNIT_M, _mm_set1_epi8(1), true);
}

static inline void scales_q3_k(struct block *b, const unsigned char *unit, int i)
{
    const unsigned char *rows = unit + 32;

    for (int s = 0; s < 2; s++) {
        int n = 2 * i + s;
        __m128i low = row16(rows, n % 8), high = row16(rows, 8 + n % 4);

        low = _mm_and_si128(n < 8 ? low : _mm_srli_epi16(low, 4), _mm_set1_epi8(15));
        high = _mm_srl_epi16(high, _mm_cvtsi32_si128(2 * (n / 4)));
        high = _mm_slli_epi16(_mm_and_si128(high, _mm_set1_epi8(3)), 4);
        spread_pairs(b->sub[s], _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32)));
    }
    load_f16(b->d, unit + MK_UNIT_D);
}

static inline void scales_q6_k(struct block *b, const unsigned char *unit, int i)
{
    for (int s = 0; s < 2; s++)
        spread_pairs(b->sub[s], row16(unit + 32, 2 * i + s));
    load_f16(b->d, unit + MK_UNIT_D);
}

static inline void scales_one(struct block *b)
{
    const __m256i one = _mm256_set1_epi16(1);

    for (int i = 0; i < 4; i++)
        _mm256_store_si256((__m256i *)&b->sub[i / 2][i % 2 * 8][0], one);
}

/* Unpacks part i of a unit; the caller's type is a constant, so one case remains. */
MK_INLINE void unpack(struct block *b, enum dtype type, const unsigned char *unit,
                      const unsigned char *part, int i)
{
    if (type == MK_Q2_K || type == MK_Q3_K)
        unpack_pairs(b, part, 0, false);
    else if (type == MK_IQ4_NL || type == MK_IQ4_XS)
        unpack_iq4(b, part);
    else if (type != MK_Q8_0)
        unpack_nibbles(b, part);
    if (type == MK_Q5_0 || type == MK_Q5_1 || type == MK_Q5_K)
        unpack_bits(b, part + 256, 4);
    if (type == MK_Q3_K)
        unpack_bits(b, part + 128, 2);
    if (type == MK_Q6_K)
        unpack_pairs(b, part + 256, 4, true);

    if (type == MK_Q4_K || type == MK_Q5_K)
        scales_q4_k(b, unit, i);
    else if (type == MK_Q2_K)
        scales_q2_k(b, unit, i);
    else if (type == MK_Q3_K)
        scales_q3_k(b, unit, i);
    else if (type == MK_Q6_K)
        scales_q6_k(b, unit, i);
    else if (type == MK_IQ4_XS)
        scales_iq4_xs(b, unit, i);
    else
        load_f16(b->d, unit + MK_UNIT_D);
    if (type == MK_Q4_1 || type == MK_Q5_1)
        load_f16(b->m, unit + MK_UNIT_M);
}

/* ---- Multiplying: the integer sums of m rows ---- */

MK_INLINE __m256i group_of(const struct x_block *x, int g)
{
    return _mm256_set1_epi32((int32_t)load32((const unsigned char *)x->q + 4 * g));
}

/* -offset * (sum of x in each half of a 32-bit lane), where 16-bit sums begin. */
MK_INLINE __m256i start_of(const struct x_block *x, int s, int offset)
{
    int32_t sums;

    if (!offset)
        return _mm256_setzero_si256();
    memcpy(&sums, x->sum[s], sizeof sums);
    return _mm256_mullo_epi16(_mm256_set1_epi32(sums), _mm256_set1_epi16((int16_t)-offset));
}

/* Makes the compiler finish a sum here, in its register. Otherwise gcc multiplies first and adds
 * later, and runs out of registers for the products. */
MK_INLINE __m256i settle(__m256i sum)
{
    __asm__("" : "+x"(sum));
    return sum;
}

MK_INLINE void sums_16(__m256i sum[TILE][2], int m, const uint8_t *q, const struct x_block *x,
                       int first, int end)
{
    MK_UNROLL
    for (int g = first; g < end; g++) {
        __m256i w0 = load(q + 64 * g), w1 = load(q + 64 * g + 32);

        MK_UNROLL
        for (int r = 0; r < m; r++) {
            __m256i v = group_of(x + r, g);

            sum[r][0] = settle(_mm256_add_epi16(sum[r][0], _mm256_maddubs_epi16(w0, v)));
            sum[r][1] = settle(_mm256_add_epi16(sum[r][1], _mm256_maddubs_epi16(w1, v)));
        }
    }
}

/* 0 .. 15 less an offset: all eight groups in 16 bits. */
MK_INLINE void dot_nibbles(__m256i sum[TILE][2], int m, const uint8_t *q, const struct x_block *x,
                           int offset)
{
    const __m256i one = _mm256_set1_epi16(1);

    MK_UNROLL
    for (int r = 0; r < m; r++)
        sum[r][0] = sum[r][1] = _mm256_add_epi16(start_of(x + r, 0, offset),
                                                 start_of(x + r, 1, offset));
    sums_16(sum, m, q, x, 0, 8);
    MK_UNROLL
    for (int r = 0; r < m; r++) {
        sum[r][0] = _mm256_madd_epi16(sum[r][0], one);
        sum[r][1] = _mm256_madd_epi16(sum[r][1], one);
    }
}

/* 0 .. 63 less an offset: four groups in 16 bits, then times the scale of that half. */
MK_INLINE void dot_halves(__m256i sum[TILE][2], int m, const struct block *b,
                          const struct x_block *x, int offset)
{
    __m256i part[TILE][2];

    MK_UNROLL
    for (int r = 0; r < m; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    MK_UNROLL
    for (int s = 0; s < 2; s++) {
        __m256i sub0 = load(&b->sub[s][0][0]), sub1 = load(&b->sub[s][8][0]);

        MK_UNROLL
        for (int r = 0; r < m; r++)
            part[r][0] = part[r][1] = start_of(x + r, s, offset);
        sums_16(part, m, &b->q[0][0][0], x, 4 * s, 4 * s + 4);
        MK_UNROLL
        for (int r = 0; r < m; r++) {
            __m256i p0 = _mm256_madd_epi16(part[r][0], sub0);
            __m256i p1 = _mm256_madd_epi16(part[r][1], sub1);

            sum[r][0] = _mm256_add_epi32(sum[r][0], p0);
            sum[r][1] = _mm256_add_epi32(sum[r][1], p1);
        }
    }
}

/* Signed weights. */
MK_INLINE void dot_signed(__m256i sum[TILE][2], int m, const uint8_t *q, const struct x_block *x)
{
    const __m256i one = _mm256_set1_epi16(1);

    MK_UNROLL
    for (int r = 0; r < m; r++)
        sum[r][0] = sum[r][1] = _mm256_setzero_si256();
    MK_UNROLL
    for (int g = 0; g < 8; g++) {
        MK_UNROLL
        for (int half = 0; half < 2; half++) {
            __m256i w = load(q + 64 * g + 32 * half), size = _mm256_abs_epi8(w);

            MK_UNROLL
            for (int r = 0; r < m; r++) {
                __m256i v = _mm256_sign_epi8(group_of(x + r, g), w);
                __m256i p = _mm256_madd_epi16(_mm256_maddubs_epi16(size, v), one);

                sum[r][half] = settle(_mm256_add_epi32(sum[r][half], p));
            }
        }
    }
}

/* ---- A tile: m rows, 16 outputs, 32 inputs ---- */

MK_INLINE __m256 add_term(__m256 acc, __m256i sum, const float *scale, __m256 dx)
{
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(_mm256_load_ps(scale), dx), acc);
}

/* The term of the minima: sum(x) times m, or with Q2_K's two integer minima. */
MK_INLINE __m256 add_min(__m256 acc, enum dtype type, const struct block *b,
                         const struct x_block *x, __m256 dx, int half)
{
    __m256 scale = _mm256_mul_ps(_mm256_load_ps(b->m + 8 * half), dx);
    __m256 sum = _mm256_set1_ps(x->total);

    if (type == MK_Q2_K) {
        int32_t s0, s1;

        memcpy(&s0, x->sum[0], sizeof s0);
        memcpy(&s1, x->sum[1], sizeof s1);
        sum = _mm256_cvtepi32_ps(_mm256_add_epi32(
            _mm256_madd_epi16(load(&b->min[0][8 * half][0]), _mm256_set1_epi32(s0)),
            _mm256_madd_epi16(load(&b->min[1][8 * half][0]), _mm256_set1_epi32(s1))));
    }
    return _mm256_fmadd_ps(sum, scale, acc);
}

MK_INLINE void tile(float *acc, int m, enum dtype type, const struct block *b, const uint8_t *q,
                    const struct x_block *x)
{
    const bool has_min = type == MK_Q4_1 || type == MK_Q5_1 || type == MK_Q2_K ||
                         type == MK_Q4_K || type == MK_Q5_K;
    __m256i sum[TILE][2];

    if (type == MK_Q8_0 || type == MK_IQ4_NL || type == MK_IQ4_XS)
        dot_signed(sum, m, q, x);
    else if (type == MK_Q4_0 || type == MK_Q4_1 || type == MK_Q4_K)
        dot_nibbles(sum, m, q, x, type == MK_Q4_0 ? 8 : 0);
    else
        dot_halves(sum, m, b, x, type == MK_Q5_0   ? 16
                                 : type == MK_Q3_K ? 4
                                 : type == MK_Q6_K ? 32
                                                   : 0);
    MK_UNROLL
    for (int r = 0; r < m; r++)
        for (int half = 0; half < 2; half++) {
            float *to = acc + r * MK_PANEL + 8 * half;
            __m256 dx = _mm256_set1_ps(x[r].d);
            __m256 a = add_term(_mm256_load_ps(to), sum[r][half], b->d + 8 * half, dx);

            _mm256_store_ps(to, has_min ? add_min(a, type, b, x + r, dx, half) : a);
        }
}

/* Every block of a panel, every row of the chunk. */
MK_INLINE void panel_of(enum dtype type, int32_t n_parts, int32_t head_bytes, int32_t part_bytes,
                        float *acc, const unsigned char *panel, int32_t n_blocks,
                        const struct x_block *x, int32_t n_rows)
{
    struct block b;

    memset(acc, 0, (size_t)n_rows * MK_PANEL * sizeof *acc);
    if (type == MK_Q5_0 || type == MK_Q5_1 || type == MK_Q5_K)
        scales_one(&b);
    for (int32_t unit = 0; unit < n_blocks / n_parts; unit++) {
        const unsigned char *part = panel + head_bytes;

        for (int32_t i = 0; i < n_parts; i++, part += part_bytes, x += n_rows) {
            const uint8_t *q = type == MK_Q8_0 ? part : &b.q[0][0][0];
            int32_t r = 0;

            unpack(&b, type, panel, part, i);
            for (; r + TILE <= n_rows; r += TILE)
                tile(acc + r * MK_PANEL, TILE, type, &b, q, x + r);
            for (; r < n_rows; r++)
                tile(acc + r * MK_PANEL, 1, type, &b, q, x + r);
        }
        panel = part;
    }
}

void matmul_q8_0_avx2(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q8_0, 1, 32, 512, acc, panel, n, x, n_rows);
}

void matmul_q4_0_avx2(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q4_0, 1, 32, 256, acc, panel, n, x, n_rows);
}

void matmul_q4_1_avx2(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q4_1, 1, 64, 256, acc, panel, n, x, n_rows);
}

void matmul_q5_0_avx2(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q5_0, 1, 32, 320, acc, panel, n, x, n_rows);
}

void matmul_q5_1_avx2(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q5_1, 1, 64, 320, acc, panel, n, x, n_rows);
}

void matmul_q2_k_avx2(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q2_K, 8, 320, 128, acc, panel, n, x, n_rows);
}

void matmul_q3_k_avx2(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q3_K, 8, 224, 192, acc, panel, n, x, n_rows);
}

void matmul_q4_k_avx2(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q4_K, 8, 256, 256, acc, panel, n, x, n_rows);
}

void matmul_q5_k_avx2(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q5_K, 8, 256, 320, acc, panel, n, x, n_rows);
}

void matmul_q6_k_avx2(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q6_K, 8, 288, 384, acc, panel, n, x, n_rows);
}

void matmul_iq4_nl_avx2(float *acc, const unsigned char *panel, int32_t n,
                        const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_IQ4_NL, 1, 32, 256, acc, panel, n, x, n_rows);
}

void matmul_iq4_xs_avx2(float *acc, const unsigned char *panel, int32_t n,
                        const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_IQ4_XS, 8, 128, 256, acc, panel, n, x, n_rows);
}

/* ---- Rounding activations ---- */

/* sum[s][h] and total of 32 rounded values. */
MK_INLINE void store_sums(struct x_block *out, __m256i q)
{
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), q); /* half s in 128-bit lane s */
    __m256i sums = _mm256_add_epi16(pairs, _mm256_shuffle_epi32(pairs, 0x4e));
    __m256i both;
    int32_t s0, s1;

    sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, 0xb1));
    s0 = _mm256_cvtsi256_si32(sums);
    s1 = _mm256_extract_epi32(sums, 4);
    memcpy(out->sum[0], &s0, sizeof s0);
    memcpy(out->sum[1], &s1, sizeof s1);
    both = _mm256_madd_epi16(sums, _mm256_set1_epi16(1));
    out->total = (float)(_mm256_cvtsi256_si32(both) + _mm256_extract_epi32(both, 4));
}

/* Magnitudes of floats compare as their bits do, with infinity and NaN on top. */
MK_INLINE uint32_t largest_bits(const __m256 v[4])
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    __m256i largest = _mm256_setzero_si256();
    __m128i half;

    for (int i = 0; i < 4; i++)
        largest = _mm256_max_epi32(largest,
                                   _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
    half = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    return (uint32_t)_mm_cvtsi128_si32(half);
}

MK_INLINE void quantise_block(struct x_block *out, const float *x)
{
    __m256 v[4] = {_mm256_loadu_ps(x), _mm256_loadu_ps(x + 8), _mm256_loadu_ps(x + 16),
                   _mm256_loadu_ps(x + 24)};
    uint32_t bits = largest_bits(v);
    float largest;
    __m256 inverse;
    __m256i q[4], all;

    memcpy(&largest, &bits, sizeof largest);
    if (bits >= 0x7f800000u || largest < MK_X_TINY) {
        memset(out, 0, sizeof *out);
        out->d = bits >= 0x7f800000u ? NAN : 0.0f;
        return;
    }
    out->d = largest / 127.0f;
    inverse = _mm256_set1_ps(127.0f / largest);
    for (int i = 0; i < 4; i++)
        q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
    all = _mm256_packs_epi16(_mm256_packs_epi32(q[0], q[1]), _mm256_packs_epi32(q[2], q[3]));
    all = _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256((void *)out->q, all);
    store_sums(out, all);
}

void matmul_quantise_avx2(struct x_block *out, int64_t block_stride, const float *x,
                          int32_t n_blocks)
{
    for (int32_t b = 0; b < n_blocks; b++)
        quantise_block(out + b * block_stride, x + (int64_t)b * MK_BLOCK);
}

static const struct matmul_rows rows = {
    .quantise = matmul_quantise_avx2,
    .blocks = MATMUL_BLOCKS_AVX2,
    .plain = {[MK_F32] = matmul_f32_avx2, [MK_F16] = matmul_f16_avx2,
              [MK_BF16] = matmul_bf16_avx2, [MK_F8_E4M3] = matmul_fp8_avx2},
};

void matmul_fill_avx2(struct kernels *k)
{
    k->matmul_rows = &rows;
}
