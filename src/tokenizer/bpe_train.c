/* bpe_train.c: counting pieces, and the merge loop.
 *
 * Pairs are counted over different words, not over the text. The heap may hold counts that are out
 * of date: a pair's count only falls, except by the merge at hand, after which the pairs that rose
 * are put in again; an entry that comes out with another count than its pair has goes back with the
 * true one. */
#include "tokenizer/bpe_train.h"

#include <stdlib.h>
#include <string.h>

#include "tokenizer/alphabet.h"
#include "tokenizer/bpe_trainer.h"

#define MAX_VOCAB (1 << 20)
#define MAX_SPECIAL_BYTES 1024 /* what vocab_build.h allows for an added token */

/* U+FF5C and U+2581 as in DeepSeek's files. */
static const char *const deepseek_specials[] = {
    "<\357\275\234begin\342\226\201of\342\226\201sentence\357\275\234>",
    "<\357\275\234end\342\226\201of\342\226\201sentence\357\275\234>",
    "<\357\275\234\342\226\201pad\342\226\201\357\275\234>",
    "<\357\275\234User\357\275\234>",
    "<\357\275\234Assistant\357\275\234>",
    "<think>",
    "</think>",
    "<\357\275\234fim\342\226\201hole\357\275\234>",
    "<\357\275\234fim\342\226\201begin\357\275\234>",
    "<\357\275\234fim\342\226\201end\357\275\234>",
};

struct bpe_train_options bpe_train_defaults(void)
{
    return (struct bpe_train_options){
        .n_vocab = 4096,
        .min_count = 2,
        .specials = deepseek_specials,
        .n_specials = sizeof deepseek_specials / sizeof *deepseek_specials};
}

int bpe_trainer_rules(const struct bpe_trainer *t, enum split_rule rules[MK_MAX_SPLITS])
{
    rules[0] = t->o.keep_digits ? SPLIT_DIGITS_1_3 : SPLIT_DIGIT;
    rules[1] = SPLIT_CJK_KANA;
    rules[2] = SPLIT_DEEPSEEK_V3;
    return 3;
}

/* ---- making a trainer ------------------------------------------------------------------------ */

static int open_splitter(struct bpe_trainer *t, struct mk_error *err)
{
    enum split_rule rules[MK_MAX_SPLITS];
    struct vocab_text patterns[MK_MAX_SPLITS];
    bool isolated[MK_MAX_SPLITS];
    struct vocab v = {.name = "tokenizer", .regexes = patterns, .regex_isolated = isolated};

    v.n_regexes = bpe_trainer_rules(t, rules);
    for (int i = 0; i < v.n_regexes; i++) {
        const char *p = split_pattern(rules[i]);

        patterns[i] = (struct vocab_text){p, (uint32_t)strlen(p)};
        isolated[i] = true;
    }
    t->classes = malloc(UNICODE_N_CLASSES);
    if (!t->classes)
        return mk_error_memory(err, UNICODE_N_CLASSES);
    unicode_classes(t->classes);
    return splitter_init(&t->splitter, &v, t->classes, err);
}

static int check_special(const struct bpe_trainer *t, int32_t i, struct mk_error *err)
{
    const char *s = t->o.specials[i];

    if (strlen(s) < 2 || strlen(s) > MAX_SPECIAL_BYTES || !utf8_is_sound(s, strlen(s)) ||
        utf8_length((const unsigned char *)s, strlen(s)) == (int)strlen(s))
        return mk_error_set(err, MK_EINVAL,
                            "special token %d, '%.40s', must be UTF-8 of 2 to %d characters", i, s,
                            MAX_SPECIAL_BYTES);
    for (int32_t k = 0; k < i; k++)
        if (!strcmp(s, t->o.specials[k]))
            return mk_error_set(err, MK_EINVAL, "special token '%.40s' is given twice", s);
    return 0;
}

/* Registers a token's spelling under an id; -1 forbids it. */
static int name_token(struct bpe_trainer *t, int32_t id, const void *s, size_t n,
                      struct mk_error *err)
{
    struct byte_item *item = byte_table_add(&t->tokens, s, n, err);

    if (!item)
        return err->code;
    item->value = id;
    if (id >= 0)
        t->spelling[id] = (size_t)(item - t->tokens.items);
    return 0;
}

/* Special tokens have no spelling; merges that would write the same text in the file may not be. */
static int add_first_tokens(struct bpe_trainer *t, struct mk_error *err)
{
    char bytes[MAX_SPECIAL_BYTES];
    int32_t id = 0;

    for (; id < t->o.n_specials; id++) {
        int64_t n;

        if (check_special(t, id, err))
            return err->code;
        t->spelling[id] = SIZE_MAX;
        n = alphabet_decode(t->o.specials[id], strlen(t->o.specials[id]), bytes);
        if (n >= 0 && name_token(t, -1, bytes, (size_t)n, err))
            return err->code;
    }
    for (uint32_t code = 0; code <= 0x143; code++)
        for (int b = 0; b < 256; b++) {
            unsigned char byte = (unsigned char)b;

            if (alphabet_code(byte) == code && name_token(t, id++, &byte, 1, err))
                return err->code;
        }
    t->report.n_tokens = id;
    return 0;
}

int bpe_trainer_create(struct bpe_trainer **out, const struct bpe_train_options *o,
                       struct mk_error *err)
{
    struct bpe_trainer *t;

    if (o->n_specials < 0 || o->n_specials > MAX_VOCAB / 2 || o->n_vocab > MAX_VOCAB ||
        o->n_vocab < o->n_specials + 256)
        return mk_error_set(err, MK_EINVAL,
                            "a vocabulary of %d tokens: expected %d (256 bytes and the special "
                            "tokens) to %d",
                            o->n_vocab, o->n_specials + 256, MAX_VOCAB);
    t = calloc(1, sizeof *t);
    if (!t)
        return mk_error_memory(err, sizeof *t);
    t->o = *o;
    t->spelling = calloc((size_t)o->n_vocab, sizeof *t->spelling);
    if (!t->spelling)
        mk_error_memory(err, (size_t)o->n_vocab * sizeof *t->spelling);
    if (!t->spelling || open_splitter(t, err) || add_first_tokens(t, err)) {
        bpe_trainer_free(t);
        return err->code;
    }
    *out = t;
    return 0;
}

static void release_pairs(struct bpe_trainer *t)
{
    for (size_t i = 0; i < t->n_pairs; i++)
        free(t->pairs[i].words);
    free(t->pairs);
    free(t->symbols);
    free(t->lengths);
    free(t->slots);
    free(t->heap);
    free(t->raised);
    t->pairs = NULL;
    t->symbols = NULL;
    t->lengths = t->slots = t->raised = NULL;
    t->heap = NULL;
    t->n_pairs = 0;
}

void bpe_trainer_free(struct bpe_trainer *t)
{
    if (!t)
        return;
    release_pairs(t);
    splitter_release(&t->splitter);
    byte_table_release(&t->words);
    byte_table_release(&t->tokens);
    free(t->classes);
    free(t->spelling);
    free(t->merges);
    free(t);
}

struct bpe_train_report bpe_trainer_report(const struct bpe_trainer *t)
{
    return t->report;
}

/* ---- counting -------------------------------------------------------------------------------- */

static int count_piece(void *context, const unsigned char *piece, size_t n, struct mk_error *err)
{
    struct bpe_trainer *t = context;
    struct byte_item *item;

    t->report.n_pieces++;
    if (n > BPE_TRAIN_MAX_PIECE) {
        t->report.n_left_out++;
        return 0;
    }
    item = byte_table_add(&t->words, piece, n, err);
    if (!item)
        return err->code;
    item->value++;
    return 0;
}

int bpe_trainer_add(struct bpe_trainer *t, const char *text, size_t n, struct mk_error *err)
{
    t->report.n_bytes += (int64_t)n;
    return splitter_run(&t->splitter, (const unsigned char *)text, n, count_piece, t, err);
}

/* ---- pairs ----------------------------------------------------------------------------------- */

/* Doubles an array that is full; *p is a pointer to its first element. */
static int grow(void *p, size_t n, size_t *capacity, size_t size, struct mk_error *err)
{
    size_t want = *capacity ? 2 * *capacity : 256;
    void *old, *grown;

    if (n < *capacity)
        return 0;
    memcpy(&old, p, sizeof old);
    grown = realloc(old, want * size);
    if (!grown)
        return mk_error_memory(err, want * size);
    memcpy(p, &grown, sizeof grown);
    *capacity = want;
    return 0;
}

static size_t pair_slot(const struct bpe_trainer *t, int32_t left, int32_t right)
{
    uint64_t h = ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) * 0x9E3779B97F4A7C15u;
    size_t at = (size_t)(h >> 20) & (t->n_slots - 1);

    for (; t->slots[at]; at = (at + 1) & (t->n_slots - 1)) {
        const struct train_pair *p = &t->pairs[t->slots[at] - 1];

        if (p->left == left && p->right == right)
            break;
    }
    return at;
}

static int grow_slots(struct bpe_trainer *t, struct mk_error *err)
{
    size_t n = t->n_slots ? 2 * t->n_slots : 4096;
    uint32_t *slots = calloc(n, sizeof *slots);

    if (!slots)
        return mk_error_memory(err, n * sizeof *slots);
    free(t->slots);
    t->slots = slots;
    t->n_slots = n;
    for (size_t i = 0; i < t->n_pairs; i++)
        slots[pair_slot(t, t->pairs[i].left, t->pairs[i].right)] = (uint32_t)i + 1;
    return 0;
}

static int find_pair(struct bpe_trainer *t, int32_t left, int32_t right, uint32_t *out,
                     struct mk_error *err)
{
    size_t at;

    if (2 * (t->n_pairs + 1) > t->n_slots && grow_slots(t, err))
        return err->code;
    at = pair_slot(t, left, right);
    if (!t->slots[at]) {
        if (t->n_pairs >= UINT32_MAX - 1)
            return mk_error_set(err, MK_ELIMIT, "too many different pairs of tokens");
        if (grow(&t->pairs, t->n_pairs, &t->pairs_capacity, sizeof *t->pairs, err))
            return err->code;
        t->pairs[t->n_pairs++] = (struct train_pair){.left = left, .right = right};
        t->slots[at] = (uint32_t)t->n_pairs;
    }
    *out = t->slots[at] - 1;
    return 0;
}

static int add_word(struct train_pair *p, uint32_t word, struct mk_error *err)
{
    size_t capacity = p->capacity;

    if (p->n_words && p->words[p->n_words - 1] == word)
        return 0;
    if (p->n_words == p->capacity) {
        uint32_t *grown;

        capacity = capacity ? 2 * capacity : 2;
        if (capacity > UINT32_MAX / 2)
            return mk_error_set(err, MK_ELIMIT, "a pair of tokens occurs in too many words");
        grown = realloc(p->words, capacity * sizeof *grown);
        if (!grown)
            return mk_error_memory(err, capacity * sizeof *grown);
        p->words = grown;
        p->capacity = (uint32_t)capacity;
    }
    p->words[p->n_words++] = word;
    return 0;
}

/* The pair came to stand in a word. */
static int raise_pair(struct bpe_trainer *t, int32_t left, int32_t right, uint32_t word,
                      struct mk_error *err)
{
    struct train_pair *p;
    uint32_t i;

    if (find_pair(t, left, right, &i, err))
        return err->code;
    p = &t->pairs[i];
    if (p->banned)
        return 0;
    if (!p->raised) {
        if (grow(&t->raised, t->n_raised, &t->raised_capacity, sizeof *t->raised, err))
            return err->code;
        t->raised[t->n_raised++] = i;
        p->raised = true;
    }
    p->count += t->words.items[word].value;
    return add_word(p, word, err);
}

/* It stood there and does no longer. */
static int lower_pair(struct bpe_trainer *t, int32_t left, int32_t right, uint32_t word,
                      struct mk_error *err)
{
    uint32_t i;

    if (find_pair(t, left, right, &i, err))
        return err->code;
    if (!t->pairs[i].banned)
        t->pairs[i].count -= t->words.items[word].value;
    return 0;
}

/* ---- heap ------------------------------------------------------------------------------------ */

static bool is_before(const struct bpe_trainer *t, const struct train_entry *a,
                      const struct train_entry *b)
{
    const struct train_pair *p = &t->pairs[a->pair], *q = &t->pairs[b->pair];

    if (a->count != b->count)
        return a->count > b->count;
    return p->left != q->left ? p->left < q->left : p->right < q->right;
}

static int heap_push(struct bpe_trainer *t, uint32_t pair, struct mk_error *err)
{
    struct train_entry e = {t->pairs[pair].count, pair};
    size_t at = t->n_heap;

    if (grow(&t->heap, t->n_heap, &t->heap_capacity, sizeof *t->heap, err))
        return err->code;
    t->n_heap++;
    for (; at > 0 && is_before(t, &e, &t->heap[(at - 1) / 2]); at = (at - 1) / 2)
        t->heap[at] = t->heap[(at - 1) / 2];
    t->heap[at] = e;
    return 0;
}

static struct train_entry heap_pop(struct bpe_trainer *t)
{
    struct train_entry top = t->heap[0], last = t->heap[--t->n_heap];
    size_t at = 0;

    for (size_t child = 1; child < t->n_heap; child = 2 * at + 1) {
        if (child + 1 < t->n_heap && is_before(t, &t->heap[child + 1], &t->heap[child]))
            child++;
        if (!is_before(t, &t->heap[child], &last))
            break;
        t->heap[at] = t->heap[child];
        at = child;
    }
    t->heap[at] = last;
    return top;
}

/* The best pair that is left, by its true count; false when there is none. */
static int next_pair(struct bpe_trainer *t, uint32_t *pair, bool *found, struct mk_error *err)
{
    *found = false;
    while (t->n_heap && !*found) {
        struct train_entry e = heap_pop(t);

        *pair = e.pair;
        *found = e.count == t->pairs[e.pair].count && e.count > 0;
        if (!*found && t->pairs[e.pair].count > 0 && heap_push(t, e.pair, err))
            return err->code;
    }
    return 0;
}

static int push_raised(struct bpe_trainer *t, struct mk_error *err)
{
    for (size_t i = 0; i < t->n_raised; i++) {
        struct train_pair *p = &t->pairs[t->raised[i]];

        p->raised = false;
        if (p->count > 0 && heap_push(t, t->raised[i], err))
            return err->code;
    }
    t->n_raised = 0;
    return 0;
}

/* ---- merging --------------------------------------------------------------------------------- */

static int start(struct bpe_trainer *t, struct mk_error *err)
{
    int32_t byte_ids[256];

    for (int b = 0; b < 256; b++) {
        unsigned char byte = (unsigned char)b;

        byte_ids[b] = (int32_t)byte_table_find(&t->tokens, &byte, 1)->value;
    }
    t->symbols = malloc((t->words.n_bytes + 1) * sizeof *t->symbols);
    t->lengths = malloc((t->words.n + 1) * sizeof *t->lengths);
    if (!t->symbols || !t->lengths)
        return mk_error_memory(err, (t->words.n_bytes + 1) * sizeof *t->symbols);
    for (size_t i = 0; i < t->words.n_bytes; i++)
        t->symbols[i] = byte_ids[t->words.bytes[i]];
    for (size_t w = 0; w < t->words.n; w++) {
        const int32_t *s = t->symbols + t->words.items[w].begin;

        t->lengths[w] = t->words.items[w].n;
        for (uint32_t i = 0; i + 1 < t->lengths[w]; i++)
            if (raise_pair(t, s[i], s[i + 1], (uint32_t)w, err))
                return err->code;
    }
    return push_raised(t, err);
}

/* Merges a pair from left to right in one word and counts the neighbours anew. */
static int merge_word(struct bpe_trainer *t, uint32_t word, struct train_merge m, int32_t id,
                      struct mk_error *err)
{
    int32_t *s = t->symbols + t->words.items[word].begin;
    uint32_t n = t->lengths[word], used = 0;
    int rc = 0;

    for (uint32_t i = 0; !rc && i < n; i++) {
        if (i + 1 == n || s[i] != m.left || s[i + 1] != m.right) {
            s[used++] = s[i];
            continue;
        }
        if (used > 0) {
            rc = lower_pair(t, s[used - 1], m.left, word, err);
            rc = rc ? rc : raise_pair(t, s[used - 1], id, word, err);
        }
        if (!rc && i + 2 < n) {
            rc = lower_pair(t, m.right, s[i + 2], word, err);
            rc = rc ? rc : raise_pair(t, id, s[i + 2], word, err);
        }
        s[used++] = id;
        i++;
    }
    t->lengths[word] = used;
    return rc;
}

/* The id of left and right together, a new one unless another merge spells the same; -1 when the
 * text is a special token's. */
static int joined_id(struct bpe_trainer *t, struct train_merge m, int32_t *id, struct mk_error *err)
{
    const struct byte_item *l = &t->tokens.items[t->spelling[m.left]],
                           *r = &t->tokens.items[t->spelling[m.right]], *known;
    unsigned char text[BPE_TRAIN_MAX_PIECE];
    size_t n = (size_t)l->n + r->n; /* stood in a piece, so it fits */

    memcpy(text, t->tokens.bytes + l->begin, l->n);
    memcpy(text + l->n, t->tokens.bytes + r->begin, r->n);
    known = byte_table_find(&t->tokens, text, n);
    if (known) {
        *id = (int32_t)known->value;
        return 0;
    }
    *id = t->report.n_tokens++;
    return name_token(t, *id, text, n, err);
}

static int merge_pair(struct bpe_trainer *t, uint32_t pair, struct mk_error *err)
{
    struct train_pair p = t->pairs[pair]; /* t->pairs may move */
    struct train_merge m = {p.left, p.right};
    int32_t id;
    int rc = joined_id(t, m, &id, err);

    t->pairs[pair].words = NULL;
    t->pairs[pair].n_words = t->pairs[pair].capacity = 0;
    if (!rc && id >= 0) {
        rc = grow(&t->merges, (size_t)t->report.n_merges, &t->merges_capacity, sizeof *t->merges,
                  err);
        if (!rc)
            t->merges[t->report.n_merges++] = m;
        t->report.last_count = p.count;
        for (uint32_t i = 0; !rc && i < p.n_words; i++)
            rc = merge_word(t, p.words[i], m, id, err);
    }
    t->pairs[pair].count = 0;
    t->pairs[pair].banned = true; /* a merge stands in the file once */
    free(p.words);
    return rc ? rc : push_raised(t, err);
}

int bpe_trainer_run(struct bpe_trainer *t, struct mk_error *err)
{
    bool found = true;
    uint32_t pair = 0;
    int rc = start(t, err);

    while (!rc && t->report.n_tokens < t->o.n_vocab) {
        rc = next_pair(t, &pair, &found, err);
        if (rc || !found || t->pairs[pair].count < t->o.min_count)
            break;
        rc = merge_pair(t, pair, err);
    }
    t->report.n_words = (int64_t)t->words.n;
    release_pairs(t);
    return rc;
}
