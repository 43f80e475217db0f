/* arch_digest.h: what changes a model's numbers and shows in no tensor: heads, rotation, routing,
 * window. */
#ifndef MK_FORMATS_ARCH_DIGEST_H
#define MK_FORMATS_ARCH_DIGEST_H

#include <openssl/evp.h>
#include <stdbool.h>

#include "formats/arch.h"

/* Adds it to a digest; false when that fails. */
bool arch_digest(EVP_MD_CTX *ctx, const struct arch *a);

#endif
