/*
 * Stands in for libFuzzer where there is none (gcc, ASan): runs LLVMFuzzerTestOneInput once over every file of the
 * folders and files given, and once over no bytes at all.
 *
 * Prints "replay: N inputs". Exit code 0; 1 if a given folder holds no file (a lost corpus must not look like a pass)
 * or something cannot be read; whatever a failing input makes of the process otherwise. The input at work is named on
 * stderr only when the process dies, through the path kept in `replay_path` for a debugger and a sanitizer's callback.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

enum { REPLAY_PATH_MAX = 4096 };

static char replay_path[REPLAY_PATH_MAX];

/* Async-signal-safe: says which input killed us, then dies of the same signal. */
static void on_abort(int signal_number)
{
    static const char text[] = "replay: died on ";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof text - 1);
    ignored = write(STDERR_FILENO, replay_path, strnlen(replay_path, sizeof replay_path));
    ignored = write(STDERR_FILENO, "\n", 1);
    (void)ignored;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* Runs one file. The copy has exactly the file's size, so that reading one byte too far is seen by ASan. 0 or -errno. */
static int replay_file(const char *path, size_t size)
{
    snprintf(replay_path, sizeof replay_path, "%s", path);
    FILE *file = fopen(path, "rb");
    if (!file) {
        return -errno;
    }
    uint8_t *data = malloc(size);
    if (!data && size > 0) {
        fclose(file);
        return -ENOMEM;
    }
    size_t got = size > 0 ? fread(data, 1, size, file) : 0;
    fclose(file);
    int result = got == size ? 0 : -EIO;
    if (result == 0) {
        LLVMFuzzerTestOneInput(data, size);
    }
    free(data);
    return result;
}

/* Runs a file, or every file below a folder. Returns the number of inputs, or a negative errno. */
static long replay(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0) {
        return -errno;
    }
    if (!S_ISDIR(status.st_mode)) {
        int error = replay_file(path, (size_t)status.st_size);
        return error < 0 ? error : 1;
    }
    DIR *folder = opendir(path);
    if (!folder) {
        return -errno;
    }
    long total = 0;
    for (struct dirent *entry; total >= 0 && (entry = readdir(folder)) != NULL;) {
        char child[REPLAY_PATH_MAX];
        if (entry->d_name[0] == '.') {
            continue;
        }
        snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
        long count = replay(child);
        total = count < 0 ? count : total + count;
    }
    closedir(folder);
    return total;
}

int main(int argc, char **argv)
{
    if (LLVMFuzzerInitialize) {
        LLVMFuzzerInitialize(&argc, &argv);
    }
    signal(SIGABRT, on_abort);
    snprintf(replay_path, sizeof replay_path, "the empty input");
    static const uint8_t nothing[1];
    LLVMFuzzerTestOneInput(nothing, 0);
    long total = 1;
    for (int index = 1; index < argc; index++) {
        long count = replay(argv[index]);
        if (count <= 0) {
            fprintf(stderr, "replay: %s: %s\n", argv[index], count < 0 ? strerror((int)-count) : "no inputs there");
            return 1;
        }
        total += count;
    }
    printf("replay: %ld inputs\n", total);
    return 0;
}
