/* memory_file.h: a file that exists in memory alone, for readers that take a path. */
#ifndef MINKE_TESTS_MEMORY_FILE_H
#define MINKE_TESTS_MEMORY_FILE_H

#include <stddef.h>

struct memory_file {
    int fd;
    char path[64]; /* good for open() while the file is open */
};

/* 0, or -1 with errno. */
int memory_file_open(struct memory_file *f, const void *data, size_t bytes);
/* Puts bytes over what is there at `at`; the length stays. */
int memory_file_patch(struct memory_file *f, size_t at, const void *data, size_t bytes);
int memory_file_cut(struct memory_file *f, size_t bytes);
void memory_file_close(struct memory_file *f);

#endif
