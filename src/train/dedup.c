/* dedup.c: tables of what was seen. Every table maps a key to a kept document by open addressing;
 * a band of a signature is a key of its own. */
#include "train/dedup.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "train/minhash.h"

#define FIRST_SLOTS 1024
#define MAX_KEPT ((size_t)UINT32_MAX - 1)

/* 128 bits of a digest, or 64 of a band and its number. */
struct key { uint64_t a, b; };

struct table {
    struct key *keys;      /* [n_slots] */
    uint32_t *kept;        /* [n_slots] index + 1 of a kept document; 0 is free */
    size_t n, n_slots;
};

struct dedup {
    struct dedup_options o;
    struct dedup_report report;
    struct table exact, bands;
    int64_t *numbers;      /* [n_kept] as they came */
    uint32_t *signatures;  /* [n_kept, bands * rows] */
    uint32_t *signature;   /* [bands * rows] of the document at hand */
    uint64_t keys[DEDUP_MAX_HASHES]; /* of the hash functions */
    size_t n_kept, capacity;
};

struct dedup_options dedup_defaults(void)
{
    return (struct dedup_options){
        .near = true, .threshold = 0.8, .shingle = 5, .bands = 16, .rows = 8, .seed = 1};
}

/* ---- tables ---------------------------------------------------------------------------------- */

static size_t slot_of(const struct table *t, struct key k)
{
    size_t at = (size_t)hash_mix(k.a ^ hash_mix(k.b)) & (t->n_slots - 1);

    while (t->kept[at] && (t->keys[at].a != k.a || t->keys[at].b != k.b))
        at = (at + 1) & (t->n_slots - 1);
    return at;
}

static int table_grow(struct table *t, struct mk_error *err)
{
    struct table old = *t;

    t->n_slots = old.n_slots ? 2 * old.n_slots : FIRST_SLOTS;
    t->keys = malloc(t->n_slots * sizeof *t->keys);
    t->kept = calloc(t->n_slots, sizeof *t->kept);
    if (!t->keys || !t->kept) {
        size_t bytes = t->n_slots * (sizeof *t->keys + sizeof *t->kept);

        free(t->keys);
        free(t->kept);
        *t = old;
        return mk_error_memory(err, bytes);
    }
    for (size_t i = 0; i < old.n_slots; i++)
        if (old.kept[i]) {
            size_t at = slot_of(t, old.keys[i]);

            t->keys[at] = old.keys[i];
            t->kept[at] = old.kept[i];
        }
    free(old.keys);
    free(old.kept);
    return 0;
}

/* Index + 1 of the kept document under this key, 0: none. */
static uint32_t table_find(const struct table *t, struct key k)
{
    return t->n_slots ? t->kept[slot_of(t, k)] : 0;
}

/* A key that is there already keeps its first document. */
static int table_add(struct table *t, struct key k, uint32_t kept, struct mk_error *err)
{
    size_t at;

    if (2 * (t->n + 1) > t->n_slots && table_grow(t, err))
        return err->code;
    at = slot_of(t, k);
    if (!t->kept[at]) {
        t->keys[at] = k;
        t->kept[at] = kept;
        t->n++;
    }
    return 0;
}

static void table_release(struct table *t)
{
    free(t->keys);
    free(t->kept);
}

/* ---- documents ------------------------------------------------------------------------------- */

int dedup_create(struct dedup **out, const struct dedup_options *o, struct mk_error *err)
{
    struct dedup *d;

    if (o->near && (!(o->threshold > 0 && o->threshold <= 1) || o->shingle < 1 ||
                    o->shingle > MINHASH_MAX_SHINGLE || o->bands < 1 || o->rows < 1 ||
                    o->bands > DEDUP_MAX_HASHES || o->rows > DEDUP_MAX_HASHES / o->bands))
        return mk_error_set(err, MK_EINVAL,
                            "near duplicates: expected a threshold above 0 and up to 1, shingles "
                            "of 1 to %d words, and 1 to %d bands x rows",
                            MINHASH_MAX_SHINGLE, DEDUP_MAX_HASHES);
    d = calloc(1, sizeof *d);
    if (!d)
        return mk_error_memory(err, sizeof *d);
    d->o = *o;
    d->signature = calloc(DEDUP_MAX_HASHES, sizeof *d->signature);
    if (!d->signature) {
        dedup_free(d);
        return mk_error_memory(err, DEDUP_MAX_HASHES * sizeof *d->signature);
    }
    minhash_keys(o->seed, o->near ? o->bands * o->rows : 0, d->keys);
    *out = d;
    return 0;
}

void dedup_free(struct dedup *d)
{
    if (!d)
        return;
    table_release(&d->exact);
    table_release(&d->bands);
    free(d->numbers);
    free(d->signatures);
    free(d->signature);
    free(d);
}

struct dedup_report dedup_report(const struct dedup *d)
{
    return d->report;
}

static int32_t n_hashes(const struct dedup *d)
{
    return d->o.near ? d->o.bands * d->o.rows : 0;
}

static struct key band_key(const struct dedup *d, int32_t band)
{
    const uint32_t *row = d->signature + (size_t)band * (size_t)d->o.rows;
    uint64_t h = 0;

    for (int32_t i = 0; i < d->o.rows; i++)
        h = hash_mix(h * 0x9E3779B97F4A7C15u + row[i]);
    return (struct key){h, (uint64_t)band};
}

static double similarity(const struct dedup *d, size_t kept)
{
    const uint32_t *other = d->signatures + kept * (size_t)n_hashes(d);
    int32_t equal = 0;

    for (int32_t k = 0; k < n_hashes(d); k++)
        equal += other[k] == d->signature[k];
    return (double)equal / n_hashes(d);
}

/* The most similar of the documents that share a band; the first among equals. */
static void find_near(const struct dedup *d, struct dedup_verdict *v)
{
    for (int32_t b = 0; b < d->o.bands; b++) {
        uint32_t kept = table_find(&d->bands, band_key(d, b));
        double s = kept ? similarity(d, kept - 1) : 0;

        if (kept && s >= d->o.threshold && s > v->similarity)
            *v = (struct dedup_verdict){DEDUP_NEAR, d->numbers[kept - 1], s};
    }
}

static int reserve(struct dedup *d, struct mk_error *err)
{
    size_t want = d->capacity ? 2 * d->capacity : 256, row = (size_t)n_hashes(d);
    int64_t *numbers;
    uint32_t *signatures;

    if (d->n_kept < d->capacity)
        return 0;
    if (d->n_kept >= MAX_KEPT / 2)
        return mk_error_set(err, MK_ELIMIT, "more than %zu documents to compare", MAX_KEPT / 2);
    numbers = realloc(d->numbers, want * sizeof *numbers);
    if (!numbers)
        return mk_error_memory(err, want * sizeof *numbers);
    d->numbers = numbers;
    signatures = realloc(d->signatures, (want * row + 1) * sizeof *signatures);
    if (!signatures)
        return mk_error_memory(err, want * row * sizeof *signatures);
    d->signatures = signatures;
    d->capacity = want;
    return 0;
}

static int keep(struct dedup *d, struct key digest, bool words, struct mk_error *err)
{
    uint32_t kept = (uint32_t)d->n_kept + 1;

    if (reserve(d, err) || table_add(&d->exact, digest, kept, err))
        return err->code;
    d->numbers[d->n_kept] = d->report.n_documents;
    if (n_hashes(d))
        memcpy(d->signatures + d->n_kept * (size_t)n_hashes(d), d->signature,
               (size_t)n_hashes(d) * sizeof *d->signature);
    d->n_kept++;
    for (int32_t b = 0; words && b < d->o.bands; b++)
        if (table_add(&d->bands, band_key(d, b), kept, err))
            return err->code;
    return 0;
}

int dedup_add(struct dedup *d, const char *text, size_t n, struct dedup_verdict *v,
              struct mk_error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct key key;
    uint32_t kept;
    bool words = false; /* without words there is nothing to compare */

    *v = (struct dedup_verdict){.kind = DEDUP_KEEP, .of = -1};
    if (!EVP_Digest(text, n, digest, NULL, EVP_sha256(), NULL))
        return mk_error_set(err, MK_EINTERNAL, "SHA-256 failed");
    memcpy(&key, digest, sizeof key);
    kept = table_find(&d->exact, key);
    if (kept) {
        *v = (struct dedup_verdict){DEDUP_EXACT, d->numbers[kept - 1], 1};
    } else if (d->o.near) {
        minhash(text, n, d->o.shingle, d->keys, n_hashes(d), d->signature);
        words = d->signature[0] != UINT32_MAX;
        if (words)
            find_near(d, v);
    }
    if (v->kind == DEDUP_KEEP && keep(d, key, words, err))
        return err->code;
    d->report.n_documents++;
    d->report.n_bytes += (int64_t)n;
    d->report.n_exact += v->kind == DEDUP_EXACT;
    d->report.exact_bytes += v->kind == DEDUP_EXACT ? (int64_t)n : 0;
    d->report.n_near += v->kind == DEDUP_NEAR;
    d->report.near_bytes += v->kind == DEDUP_NEAR ? (int64_t)n : 0;
    return 0;
}
