/* muon.h: momentum made orthogonal (Jordan et al. 2024), for one matrix.
 *
 * Two recipes: torch.optim.Muon's, five Newton-Schulz steps; and DeepSeek-V4's, eight of those and
 * two that settle, with the update scaled to a root mean square of 0.18 (deepseek.md 7.4). PyTorch
 * runs the steps in bf16; here they are f32. */
#ifndef MK_TRAIN_MUON_H
#define MK_TRAIN_MUON_H

#include "kernels/kernels.h"

enum muon_variant { MUON_TORCH, MUON_V4 };
/* torch's adjust_lr_fn: lr * sqrt(max(1, rows / columns)), or lr * 0.2 * sqrt(max(rows, columns)),
 * which gives AdamW's root mean square. MUON_V4 has a scale of its own. */
enum muon_adjust { MUON_ORIGINAL, MUON_MATCH_RMS };

struct muon_options {
    enum muon_variant variant;
    enum muon_adjust adjust;
    double momentum, weight_decay;
    bool nesterov;
};

/* w [rows, columns] from grad times `scale` (the clipping), momentum buffer m [rows, columns] f32.
 * memory: for temporaries, rewound. */
int muon_step(struct compute *c, struct arena *memory, const struct muon_options *o, double lr,
              double scale, float *w, const float *grad, float *m, int64_t rows, int64_t columns,
              struct mk_error *err);
/* x [rows, columns] -> the nearest orthogonal matrix, about: Newton-Schulz steps. */
int muon_orthogonalise(struct compute *c, struct arena *memory, enum muon_variant variant, float *x,
                       int64_t rows, int64_t columns, struct mk_error *err);

#endif
