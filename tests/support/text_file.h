/* text_file.h: small files of text, written and compared whole. Failures end the test. */
#ifndef MK_TESTS_TEXT_FILE_H
#define MK_TESTS_TEXT_FILE_H

void text_file_write(const char *path, const char *text);
/* Of fewer than 1000 bytes. */
void text_file_expect(const char *path, const char *want);

#endif
