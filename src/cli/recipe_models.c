/* recipe_models.c: see recipe_models.h. */
#include "cli/recipe_models.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/folder.h"
#include "hub/hub.h"

static bool is_in_folder(const char *base, const char *name)
{
    char path[HUB_PATH_MAX];
    struct mk_error err;

    return !folder_join(path, sizeof path, base, name, &err) && access(path, F_OK) == 0;
}

static int find_one(const char **name, const char *base, struct arena *memory,
                    struct mk_error *err)
{
    char *path, *copy;
    size_t room;

    if (!**name || strpbrk(*name, "/:") || is_in_folder(base, *name))
        return 0;
    if (hub_resolve(*name, &path, err)) {
        if (!hub_known_by_name(*name))
            err->code = 0;
        return err->code;
    }
    room = strlen(path) + 1;
    /* A relative path was found where the command runs: a recipe means none there. */
    if (*path == '/' && !arena_take(memory, &copy, room, 1, err)) {
        memcpy(copy, path, room);
        *name = copy;
    }
    free(path);
    return err->code;
}

int recipe_models_find(struct recipe *r, const char *base, struct arena *memory,
                       struct mk_error *err)
{
    err->code = 0;
    if (find_one(&r->model.from, base, memory, err) ||
        find_one(&r->rl.reward_model, base, memory, err))
        return err->code;
    for (int32_t i = 0; i < r->distill.n_teachers; i++)
        if (find_one(&r->distill.teachers[i].path, base, memory, err))
            return err->code;
    return 0;
}
