/* fp8.h: training in low precision, emulated: values are rounded to what the narrow format can hold
 * and stay f32, so that the effect on learning can be studied on any CPU.
 *
 * The scheme is V3's (V3 report, section 3.3; deepseek.md 5.1). A tile of values shares a scale
 * s = max(largest |x|, 1e-4) / 448, found from the values themselves; x becomes s * E4M3(x / s),
 * nearest, ties to even. A linear layer then takes
 *
 *   y  = x W^T    x by fp8_activation,  W by fp8_weight
 *   dx = dy W     dy by fp8_gradient,   W by fp8_weight
 *   dW += dy^T x  dy by fp8_gradient_turned, x by fp8_activation_turned
 *
 * where the x of dW is what the forward pass kept, rounded already:
 *
 *   after attention    kept wider by fp8_attention_out, then fp8_sent_turned
 *   SwiGLU's inputs    kept by fp8_activation; its output is computed again from them
 *   rows for experts   x by fp8_sent, then fp8_sent_turned: rounded before they are sent, by powers
 *                      of two, so that turning costs no more bits; dy of the down-projection by
 *                      fp8_sent_gradient, then fp8_sent_gradient_turned. What comes back from
 *                      experts, outputs and gradients of their inputs, is sent in bf16
 *
 * with sums and masters in f32. The 1e-4 is that of DeepSeek's kernels, whose inputs have the size
 * of 1. Gradients of a mean over thousands of tokens lie far below it, in the subnormal numbers of
 * E4M3 and under them, so their tiles are not held to it. Embedding, head, router, norms and
 * attention itself stay bf16 or f32. Tiles lie along what the product sums over.
 * Gradients dy in blocks of 128 x 128 would be cheaper, and made the report's 16B model diverge
 * (appendix B.2).
 *
 * A product of two rounded values is the scheme's to within f32's own rounding. A Hopper GPU keeps
 * about 14 bits of each sum of 128, so equal bits with one are out of reach. */
#ifndef MK_KERNELS_FP8_H
#define MK_KERNELS_FP8_H

#include <stdbool.h>
#include <stdint.h>

#include "base/exec.h"

#define FP8_TILE 128

enum fp8_shape {
    FP8_ROWS,    /* 1 x 128 */
    FP8_COLUMNS, /* 128 x 1 */
    FP8_BLOCKS,  /* 128 x 128 */
};

enum fp8_format {
    FP8_E4M3, /* 4 significant bits, 2^-9 .. 448 */
    /* 7 significant bits, 2^-20 .. 65024. The report gives the widths alone; bias and largest value
     * are those of IEEE formats. */
    FP8_E5M6,
};

struct fp8_rule {
    enum fp8_shape shape;
    enum fp8_format format;
    /* s is raised to a power of two, as V3.1 trains (scale_fmt ue8m0): a rounded value then has no
     * more bits than its format, and rounding it again changes nothing. */
    bool power_of_two;
    bool gradient; /* a tile may be as small as it likes */
};

extern const struct fp8_rule fp8_activation;        /* E4M3, 1 x 128 */
extern const struct fp8_rule fp8_activation_turned; /* E4M3, 128 x 1: 128 tokens of one channel */
extern const struct fp8_rule fp8_weight;            /* E4M3, 128 x 128 */
extern const struct fp8_rule fp8_gradient, fp8_gradient_turned;
/* Powers of two: rows sent to experts, E4M3; what the linear after attention keeps, E5M6; and what
 * becomes of either for dW, E4M3. */
extern const struct fp8_rule fp8_sent, fp8_attention_out, fp8_sent_turned;
extern const struct fp8_rule fp8_sent_gradient, fp8_sent_gradient_turned;

/* x [rows, columns] -> out, which may be x. Tiles begin at row 0 and column 0; those at the edges
 * are smaller. With 128 x 1 or 128 x 128 a value therefore depends on its row's place: passes of a
 * multiple of 128 tokens have the same bits however a step is cut. A tile with a value that is not
 * finite becomes NaN, which the loss then shows. The number of threads changes no bit. */
void fp8_round(struct exec *ex, const struct fp8_rule *rule, float *out, const float *x,
               int64_t rows, int64_t columns);

/* x [n] -> the nearest bf16, ties to even; out may be x. NaN stays NaN. */
void bf16_round(struct exec *ex, float *out, const float *x, int64_t n);

#endif
