/* nfc.h: Unicode normalisation form C, in time linear in the text whatever the text is. */
#ifndef MK_TOKENIZER_NFC_H
#define MK_TOKENIZER_NFC_H

#include "base/buf.h"

/* Appends the normal form of text[n]. Bytes outside sound UTF-8 are copied as they are and keep
 * neighbours apart. */
int nfc_append(struct buf *out, const unsigned char *text, size_t n, struct mk_error *err);

#endif
