/* matmul_blocks_vnni.c: block weights times rounded activations with AVX-512 VNNI.
 *
 * As matmul_blocks_avx2.c: 32 inputs of a panel are unpacked once for all rows of the chunk. Here
 * `vpdpbusd` adds four products to each of sixteen 32-bit sums, exactly, so nothing can overflow.
 * It wants unsigned weights: offsets stay in, signed types get 128 added, and sums begin at
 * -offset * sum(x). Tiles are 8 rows x 16 outputs; a lone row has two sums to hide latency. */
#include "kernels/cpu/x86/matmul_x86.h"

#define TILE 8

struct block {
    _Alignas(64) uint8_t q[8][MK_PANEL][4]; /* the offset is still in it */
    _Alignas(64) float d[MK_PANEL], m[MK_PANEL];
    _Alignas(64) int32_t sub[2][MK_PANEL], min[2][MK_PANEL];
};

/* ---- Unpacking quants ---- */

static inline __m512i load(const void *p)
{
    return _mm512_loadu_si512(p);
}

static inline void store(void *p, __m512i v)
{
    _mm512_storeu_si512(p, v);
}

MK_INLINE void unpack_nibbles(struct block *b, const unsigned char *plane)
{
    const __m512i mask = _mm512_set1_epi8(15);

    MK_UNROLL
    for (int p = 0; p < 4; p++) {
        __m512i v = load(plane + 64 * p);

        store(b->q[2 * p], _mm512_and_si512(v, mask));
        store(b->q[2 * p + 1], _mm512_and_si512(_mm512_srli_epi16(v, 4), mask));
    }
}

/* Adds bit g of `plane` at bit `to` of group g. */
MK_INLINE void unpack_bits(struct block *b, const unsigned char *plane, int to)
{
    const __m512i mask = _mm512_set1_epi8((char)(1 << to));
    __m512i bits = load(plane);

    MK_UNROLL
    for (int g = 0; g < 8; g++) {
        __m512i at = g < to ? _mm512_slli_epi16(bits, (unsigned)(to > g ? to - g : 0))
                            : _mm512_srli_epi16(bits, (unsigned)(g > to ? g - to : 0));

        store(b->q[g], _mm512_or_si512(load(b->q[g]), _mm512_and_si512(at, mask)));
    }
}

/* Sets (or adds to what is there) bits 2 i, 2 i + 1 of plane h at bit `to` of group 4 h + i. */
MK_INLINE void unpack_pairs(struct block *b, const unsigned char *plane, int to, bool add)
{
    const __m512i mask = _mm512_set1_epi8((char)(3 << to));

    MK_UNROLL
    for (int g = 0; g < 8; g++) {
        __m512i bits = load(plane + g / 4 * 64);
        int from = 2 * (g % 4);
        __m512i at = from < to ? _mm512_slli_epi16(bits, (unsigned)(to > from ? to - from : 0))
                               : _mm512_srli_epi16(bits, (unsigned)(from > to ? from - to : 0));

        at = _mm512_and_si512(at, mask);
        store(b->q[g], add ? _mm512_or_si512(load(b->q[g]), at) : at);
    }
}

/* The table's values and whole bytes, 128 added. */
MK_INLINE void unpack_iq4(struct block *b, const unsigned char *plane)
{
    __m128i values = _mm_xor_si128(_mm_loadu_si128((const void *)mk_iq4_values),
                                   _mm_set1_epi8((char)0x80));
    const __m512i table = _mm512_broadcast_i32x4(values);

    unpack_nibbles(b, plane);
    for (int g = 0; g < 8; g++)
        store(b->q[g], _mm512_shuffle_epi8(table, load(b->q[g])));
}

MK_INLINE void unpack_bytes(struct block *b, const unsigned char *part)
{
    for (int g = 0; g < 8; g++)
        store(b->q[g], _mm512_xor_si512(load(part + 64 * g), _mm512_set1_epi8((char)0x80)));
}

/* ---- Unpacking scales ---- */

MK_INLINE __m512 f16_scales(const unsigned char *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const void *)p));
}

/* f16 scales times sixteen small integers. */
MK_INLINE __m512 scaled(const unsigned char *d, __m128i bytes, bool negate)
{
    __m512 v = _mm512_mul_ps(f16_scales(d), _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes)));

    return negate ? _mm512_sub_ps(_mm512_set1_ps(-0.0f), v) : v;
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
    _mm512_storeu_ps(b->d, scaled(unit + MK_UNIT_D, scale, false));
    _mm512_storeu_ps(b->m, scaled(unit + MK_UNIT_M, min, true));
}

static inline void scales_iq4_xs(struct block *b, const unsigned char *unit, int i)
{
    __m128i low = row16(unit + 64, i / 2);
    __m256i high = _mm256_srl_epi16(_mm256_loadu_si256((const void *)(unit + 32)),
                                    _mm_cvtsi32_si128(2 * i));
    __m128i high8;

    high = _mm256_and_si256(high, _mm256_set1_epi16(3));
    high8 = _mm_packus_epi16(_mm256_castsi256_si128(high), _mm256_extracti128_si256(high, 1));
    low = _mm_and_si128(i % 2 ? _mm_srli_epi16(low, 4) : low, _mm_set1_epi8(15));
    low = _mm_or_si128(low, _mm_slli_epi16(high8, 4));
    _mm512_storeu_ps(b->d, scaled(unit + MK_UNIT_D, _mm_sub_epi8(low, _mm_set1_epi8(32)), false));
}

static inline void scales_q2_k(struct block *b, const unsigned char *unit, int i)
{
    const __m128i mask = _mm_set1_epi8(15);

    for (int s = 0; s < 2; s++) {
        __m128i both = row16(unit + 64, 2 * i + s);

        store(b->sub[s], _mm512_cvtepi8_epi32(_mm_and_si128(both, mask)));
        store(b->min[s], _mm512_cvtepi8_epi32(_mm_and_si128(_mm_srli_epi16(both, 4), mask)));
    }
    _mm512_storeu_ps(b->m, scaled(unit + MK_UNIT_M, _mm_set1_epi8(1), true));
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
        low = _mm_sub_epi8(_mm_or_si128(low, high), _mm_set1_epi8(32));
        store(b->sub[s], _mm512_cvtepi8_epi32(low));
    }
}

static inline void scales_q6_k(struct block *b, const unsigned char *unit, int i)
{
    for (int s = 0; s < 2; s++)
        store(b->sub[s], _mm512_cvtepi8_epi32(row16(unit + 32, 2 * i + s)));
}

MK_INLINE void unpack_quants(struct block *b, enum dtype type, const unsigned char *part)
{
    if (type == MK_Q2_K || type == MK_Q3_K)
        unpack_pairs(b, part, 0, false);
    else if (type == MK_IQ4_NL || type == MK_IQ4_XS)
        unpack_iq4(b, part);
    else if (type == MK_Q8_0)
        unpack_bytes(b, part);
    else
        unpack_nibbles(b, part);
    if (type == MK_Q5_0 || type == MK_Q5_1 || type == MK_Q5_K)
        unpack_bits(b, part + 256, 4);
    if (type == MK_Q3_K)
        unpack_bits(b, part + 128, 2);
    if (type == MK_Q6_K)
        unpack_pairs(b, part + 256, 4, true);
}

MK_INLINE void unpack_scales(struct block *b, enum dtype type, const unsigned char *unit, int i)
{
    _mm512_storeu_ps(b->d, f16_scales(unit + MK_UNIT_D));
    if (type == MK_Q4_1 || type == MK_Q5_1)
        _mm512_storeu_ps(b->m, f16_scales(unit + MK_UNIT_M));
    else if (type == MK_Q4_K || type == MK_Q5_K)
        scales_q4_k(b, unit, i);
    else if (type == MK_Q2_K)
        scales_q2_k(b, unit, i);
    else if (type == MK_Q3_K)
        scales_q3_k(b, unit, i);
    else if (type == MK_Q6_K)
        scales_q6_k(b, unit, i);
    else if (type == MK_IQ4_XS)
        scales_iq4_xs(b, unit, i);
}

/* ---- Multiplying ---- */

MK_INLINE __m512i group_of(const struct x_block *x, int g)
{
    return _mm512_set1_epi32((int32_t)load32((const unsigned char *)x->q + 4 * g));
}

MK_INLINE int32_t half_sum(const struct x_block *x, int s)
{
    return x->sum[s][0] + x->sum[s][1];
}

/* sum[m] += groups first .. end - 1. */
MK_INLINE void add_groups(__m512i sum[TILE], int m, const struct block *b, const struct x_block *x,
                          int first, int end)
{
    MK_UNROLL
    for (int g = first; g < end; g++) {
        __m512i w = load(b->q[g]);

        MK_UNROLL
        for (int r = 0; r < m; r++)
            sum[r] = _mm512_dpbusd_epi32(sum[r], w, group_of(x + r, g));
    }
}

/* One scale for the block. Integers: that a lone row adds its two halves last changes nothing. */
MK_INLINE void dot_whole(__m512i sum[TILE], int m, const struct block *b, const struct x_block *x,
                         int offset)
{
    MK_UNROLL
    for (int r = 0; r < m; r++)
        sum[r] = _mm512_set1_epi32(-offset * (half_sum(x + r, 0) + half_sum(x + r, 1)));
    add_groups(sum, m, b, x, 0, m == 1 ? 4 : 8);
    if (m == 1) {
        __m512i other[TILE] = {_mm512_setzero_si512()};

        add_groups(other, 1, b, x, 4, 8);
        sum[0] = _mm512_add_epi32(sum[0], other[0]);
    }
}

/* A scale for each half. */
MK_INLINE void dot_halves(__m512i sum[TILE], int m, const struct block *b, const struct x_block *x,
                          int offset)
{
    __m512i part[TILE];

    MK_UNROLL
    for (int r = 0; r < m; r++)
        sum[r] = _mm512_setzero_si512();
    MK_UNROLL
    for (int s = 0; s < 2; s++) {
        __m512i sub = load(b->sub[s]);

        MK_UNROLL
        for (int r = 0; r < m; r++)
            part[r] = _mm512_set1_epi32(-offset * half_sum(x + r, s));
        add_groups(part, m, b, x, 4 * s, 4 * s + 4);
        MK_UNROLL
        for (int r = 0; r < m; r++)
            sum[r] = _mm512_add_epi32(sum[r], _mm512_mullo_epi32(part[r], sub));
    }
}

/* The term of the minima: sum(x) times m, or with Q2_K's two integer minima. */
MK_INLINE __m512 add_min(__m512 acc, enum dtype type, const struct block *b,
                         const struct x_block *x, __m512 dx)
{
    __m512 scale = _mm512_mul_ps(_mm512_loadu_ps(b->m), dx);
    __m512 sum = _mm512_set1_ps(x->total);

    if (type == MK_Q2_K)
        sum = _mm512_cvtepi32_ps(_mm512_add_epi32(
            _mm512_mullo_epi32(load(b->min[0]), _mm512_set1_epi32(half_sum(x, 0))),
            _mm512_mullo_epi32(load(b->min[1]), _mm512_set1_epi32(half_sum(x, 1)))));
    return _mm512_fmadd_ps(sum, scale, acc);
}

MK_INLINE int offset_of(enum dtype type)
{
    return type == MK_Q8_0 || type == MK_IQ4_NL || type == MK_IQ4_XS ? 128
           : type == MK_Q6_K                                         ? 32
           : type == MK_Q5_0                                         ? 16
           : type == MK_Q4_0                                         ? 8
           : type == MK_Q3_K                                         ? 4
                                                                     : 0;
}

MK_INLINE void tile(float *acc, int m, enum dtype type, const struct block *b,
                    const struct x_block *x)
{
    const bool has_min = type == MK_Q4_1 || type == MK_Q5_1 || type == MK_Q2_K ||
                         type == MK_Q4_K || type == MK_Q5_K;
    __m512i sum[TILE];

    if (type == MK_Q2_K || type == MK_Q3_K || type == MK_Q6_K)
        dot_halves(sum, m, b, x, offset_of(type));
    else
        dot_whole(sum, m, b, x, offset_of(type));
    MK_UNROLL
    for (int r = 0; r < m; r++) {
        __m512 dx = _mm512_set1_ps(x[r].d);
        __m512 a = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[r]),
                                   _mm512_mul_ps(_mm512_loadu_ps(b->d), dx),
                                   _mm512_loadu_ps(acc + r * MK_PANEL));

        _mm512_storeu_ps(acc + r * MK_PANEL, has_min ? add_min(a, type, b, x + r, dx) : a);
    }
}

/* Every block of a panel, every row of the chunk. */
MK_INLINE void panel_of(enum dtype type, int32_t n_parts, int32_t head_bytes, int32_t part_bytes,
                        float *acc, const unsigned char *panel, int32_t n_blocks,
                        const struct x_block *x, int32_t n_rows)
{
    struct block b;

    memset(acc, 0, (size_t)n_rows * MK_PANEL * sizeof *acc);
    for (int32_t unit = 0; unit < n_blocks / n_parts; unit++) {
        const unsigned char *part = panel + head_bytes;

        for (int32_t i = 0; i < n_parts; i++, part += part_bytes, x += n_rows) {
            int32_t r = 0;

            unpack_quants(&b, type, part);
            unpack_scales(&b, type, panel, i);
            for (; r + TILE <= n_rows; r += TILE)
                tile(acc + r * MK_PANEL, TILE, type, &b, x + r);
            for (; r < n_rows; r++)
                tile(acc + r * MK_PANEL, 1, type, &b, x + r);
        }
        panel = part;
    }
}

void matmul_q8_0_vnni(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q8_0, 1, 32, 512, acc, panel, n, x, n_rows);
}

void matmul_q4_0_vnni(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q4_0, 1, 32, 256, acc, panel, n, x, n_rows);
}

void matmul_q4_1_vnni(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q4_1, 1, 64, 256, acc, panel, n, x, n_rows);
}

void matmul_q5_0_vnni(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q5_0, 1, 32, 320, acc, panel, n, x, n_rows);
}

void matmul_q5_1_vnni(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q5_1, 1, 64, 320, acc, panel, n, x, n_rows);
}

void matmul_q2_k_vnni(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q2_K, 8, 320, 128, acc, panel, n, x, n_rows);
}

void matmul_q3_k_vnni(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q3_K, 8, 224, 192, acc, panel, n, x, n_rows);
}

void matmul_q4_k_vnni(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q4_K, 8, 256, 256, acc, panel, n, x, n_rows);
}

void matmul_q5_k_vnni(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q5_K, 8, 256, 320, acc, panel, n, x, n_rows);
}

void matmul_q6_k_vnni(float *acc, const unsigned char *panel, int32_t n,
                      const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_Q6_K, 8, 288, 384, acc, panel, n, x, n_rows);
}

void matmul_iq4_nl_vnni(float *acc, const unsigned char *panel, int32_t n,
                        const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_IQ4_NL, 1, 32, 256, acc, panel, n, x, n_rows);
}

void matmul_iq4_xs_vnni(float *acc, const unsigned char *panel, int32_t n,
                        const struct x_block *x, int32_t n_rows)
{
    panel_of(MK_IQ4_XS, 8, 128, 256, acc, panel, n, x, n_rows);
}

void matmul_fill_vnni(struct kernels *k)
{
    static const struct matmul_rows rows = {
        .quantise = matmul_quantise_avx2,
        .blocks = MATMUL_BLOCKS_VNNI,
        .plain = {[MK_F32] = matmul_f32_avx512, [MK_F16] = matmul_f16_avx512,
                  [MK_BF16] = matmul_bf16_avx512, [MK_F8_E4M3] = matmul_fp8_avx512},
    };

    k->matmul_rows = &rows;
}
