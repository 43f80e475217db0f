/* sampling_options.c: defaults and ranges of the sampling options.
 *
 * The ranges are those in which an option does what its name says: OpenAI's for the frequency and
 * presence penalties, and room for what local engines allow elsewhere. */
#include "generate/sampling_options.h"

#include <float.h>

#define MAX_TEMPERATURE 100
#define MAX_REPETITION 100
#define MAX_PENALTY 2

struct mk_sampling mk_sampling_default(void)
{
    return (struct mk_sampling){.temperature = 1, .top_p = 1, .repetition_penalty = 1};
}

static int check_range(const char *field, float value, float min, float max, struct mk_error *err)
{
    if (value >= min && value <= max)
        return 0;
    return mk_error_set(err, MK_EINVAL, "%s is %g: expected a number from %g to %g", field,
                        (double)value, (double)min, (double)max);
}

static int check_count(const char *field, int32_t value, struct mk_error *err)
{
    if (value >= 0)
        return 0;
    return mk_error_set(err, MK_EINVAL, "%s is %d: expected 0 or more", field, value);
}

static int check_bias(const struct mk_sampling *o, int32_t n_vocab, struct mk_error *err)
{
    if (check_count("n_bias", o->n_bias, err))
        return err->code;
    if (o->n_bias > 0 && (!o->bias_ids || !o->bias_values))
        return mk_error_set(err, MK_EINVAL, "n_bias is %d but bias_ids or bias_values is NULL",
                            o->n_bias);
    for (int32_t i = 0; i < o->n_bias; i++) {
        if (o->bias_ids[i] < 0 || o->bias_ids[i] >= n_vocab)
            return mk_error_set(err, MK_EINVAL, "bias_ids[%d] is %d: expected a token from 0 to %d",
                                i, o->bias_ids[i], n_vocab - 1);
        /* Minus infinity rules a token out; plus infinity would leave nothing to compare. */
        if (!(o->bias_values[i] <= FLT_MAX))
            return mk_error_set(err, MK_EINVAL,
                                "bias_values[%d] is %g: expected a number or minus infinity", i,
                                (double)o->bias_values[i]);
    }
    return 0;
}

int sampling_check(const struct mk_sampling *o, int32_t n_vocab, struct mk_error *err)
{
    if (check_range("temperature", o->temperature, 0, MAX_TEMPERATURE, err) ||
        check_count("top_k", o->top_k, err) || check_range("top_p", o->top_p, 0, 1, err) ||
        check_range("min_p", o->min_p, 0, 1, err))
        return err->code;
    if (!(o->repetition_penalty > 0) || o->repetition_penalty > MAX_REPETITION)
        return mk_error_set(err, MK_EINVAL,
                            "repetition_penalty is %g: expected a number above 0, at most %d",
                            (double)o->repetition_penalty, MAX_REPETITION);
    if (check_range("frequency_penalty", o->frequency_penalty, -MAX_PENALTY, MAX_PENALTY, err) ||
        check_range("presence_penalty", o->presence_penalty, -MAX_PENALTY, MAX_PENALTY, err) ||
        check_count("penalty_window", o->penalty_window, err))
        return err->code;
    return check_bias(o, n_vocab, err);
}
