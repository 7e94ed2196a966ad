/* What the launcher becomes: CPython, linked in or as a library beside it, told to run cerebelum; or, by the names in
 * `bin/`, CPython as everybody knows it, so that `sys.executable` is a true interpreter.
 *
 * It is compiled without Python's headers: of Python, one function is called. It also offers what the libraries
 * take from newer versions of glibc and older ones do not have (build/glibc.py makes them ask for any version).
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

int Py_BytesMain(int argc, char **argv);

#define CANNOT_START 71          /* EX_OSERR, as the launcher's */
#define OWN_ARGUMENTS 12         /* at most so many come before the user's */

static const char START[] = "from cerebelum_frozen.start import start; start()";

/* The launcher says `LOCK:FILE`: the descriptor that keeps the copy locked, and the file that the user started. */
static const char *take_note(void) {
    static char file[PATH_MAX];
    const char *note = getenv("_CEREBELUM_LAUNCHED");
    char *end;
    if (!note) return "";
    long lock = strtol(note, &end, 10);
    if (end != note && *end == ':') {
        fcntl((int)lock, F_SETFD, FD_CLOEXEC);
        snprintf(file, sizeof file, "%s", end + 1);
    }
    unsetenv("_CEREBELUM_LAUNCHED");
    return file;
}

static int is_set(const char *variable) {
    const char *value = getenv(variable);
    return value && *value;
}

static int run_cerebelum(int argc, char **argv) {
    static char python[PATH_MAX];
    char **all = calloc((size_t)argc + OWN_ARGUMENTS, sizeof *all), **next = all;
    ssize_t len = readlink("/proc/self/exe", python, sizeof python - sizeof "/bin/python3");
    char *slash = len > 0 ? memrchr(python, '/', (size_t)len) : NULL;
    if (!all || !slash) {
        fprintf(stderr, "cerebelum: cannot read /proc/self/exe: %s (is /proc mounted?)\n", strerror(errno));
        return CANNOT_START;
    }
    strcpy(slash, "/bin/python3");
    *next++ = python;
    /* Neither the user's variables nor their folders have a say about the modules of this program. */
    *next++ = "-I";
    *next++ = "-S";
    *next++ = "-X";
    *next++ = "utf8";
    if (is_set("PYTHONDONTWRITEBYTECODE")) *next++ = "-B";
    *next++ = "-c";
    *next++ = (char *)START;
    *next++ = (char *)take_note();
    /* Where the locale is C, the interpreter sets LC_CTYPE, which children are not to see. */
    *next++ = getenv("LC_CTYPE") ? strdup(getenv("LC_CTYPE")) : "";
    *next++ = argc ? argv[0] : "cerebelum";
    for (int i = 1; i < argc; i++) *next++ = argv[i];
    return Py_BytesMain((int)(next - all), all);
}

/* Whether `path` is a script: after `#!` the kernel tells the script as the file that was started. */
static int is_script(const char *path) {
    struct stat given, running;
    return !stat(path, &given) && !stat("/proc/self/exe", &running)
           && (given.st_dev != running.st_dev || given.st_ino != running.st_ino);
}

int main(int argc, char **argv) {
    /* Not argv[0], which is the user's: their file may be named as they like. For a script it is the kernel's. */
    const char *path = (const char *)getauxval(AT_EXECFN);
    if (path && argc && is_script(path)) path = argv[0];
    const char *name = path ? strrchr(path, '/') : NULL;
    name = name ? name + 1 : path;
    if (!name || strncmp(name, "python", 6)) return run_cerebelum(argc, argv);
    /* By a name without a folder the interpreter would look for itself along PATH, and find another. */
    if (argc) argv[0] = (char *)path;
    return Py_BytesMain(argc, argv);
}

/* ---- what older versions of glibc do not have ------------------------------------------------------------------ */

/* Under names of our own, because the headers declare the others, some with types that differ in name only. */
#define OFFER(name) __asm__(#name) __attribute__((visibility("default"), used))

#if !defined __x86_64__ && !defined __aarch64__
#error "struct stat of this platform was not compared with the kernel's"
#endif

/* Until 2.33 these were inline functions in the headers. */
int offer_stat(const char *, void *) OFFER(stat);
int offer_stat64(const char *, void *) OFFER(stat64);
int offer_lstat(const char *, void *) OFFER(lstat);
int offer_lstat64(const char *, void *) OFFER(lstat64);
int offer_fstat(int, void *) OFFER(fstat);
int offer_fstat64(int, void *) OFFER(fstat64);
int offer_fstatat(int, const char *, void *, int) OFFER(fstatat);
int offer_fstatat64(int, const char *, void *, int) OFFER(fstatat64);
int offer_fcntl64(int, int, void *) OFFER(fcntl64);
int offer_mknod(const char *, mode_t, dev_t) OFFER(mknod);
int offer_mknodat(int, const char *, mode_t, dev_t) OFFER(mknodat);
int offer_close_range(unsigned, unsigned, int) OFFER(close_range);
int offer_sem_clockwait(sem_t *, clockid_t, const struct timespec *) OFFER(sem_clockwait);
long offer_sysconf(int) OFFER(sysconf);

int offer_fstatat(int folder, const char *path, void *to, int flags) {
    return (int)syscall(SYS_newfstatat, folder, path, to, flags);
}
int offer_fstatat64(int folder, const char *path, void *to, int flags) { return offer_fstatat(folder, path, to, flags); }
int offer_stat(const char *path, void *to) { return offer_fstatat(AT_FDCWD, path, to, 0); }
int offer_stat64(const char *path, void *to) { return offer_fstatat(AT_FDCWD, path, to, 0); }
int offer_lstat(const char *path, void *to) { return offer_fstatat(AT_FDCWD, path, to, AT_SYMLINK_NOFOLLOW); }
int offer_lstat64(const char *path, void *to) { return offer_fstatat(AT_FDCWD, path, to, AT_SYMLINK_NOFOLLOW); }
int offer_fstat(int fd, void *to) { return (int)syscall(SYS_fstat, fd, to); }
int offer_fstat64(int fd, void *to) { return (int)syscall(SYS_fstat, fd, to); }

/* Since 2.28; on 64-bit platforms it is the same function. */
int offer_fcntl64(int fd, int command, void *argument) { return fcntl(fd, command, argument); }

int offer_mknodat(int folder, const char *path, mode_t mode, dev_t device) {
    /* The kernel takes 32 bits of a device's number, and they are where glibc puts them. */
    if (device != (unsigned)device) { errno = EINVAL; return -1; }
    return (int)syscall(SYS_mknodat, folder, path, mode, (unsigned)device);
}
int offer_mknod(const char *path, mode_t mode, dev_t device) { return offer_mknodat(AT_FDCWD, path, mode, device); }

int offer_close_range(unsigned first, unsigned last, int flags) {
    /* 436 on every platform; headers older than Linux 5.9 do not name it. Python does without it where it fails. */
    return (int)syscall(436, first, last, flags);
}

/* What the next library in line has by a name that is also offered here. */
static void *theirs(const char *name, void *_Atomic *known) {
    if (!*known) *known = dlsym(RTLD_NEXT, name);
    return *known;
}

/* Since 2.34 headers ask for the sizes of signal stacks at run time; without an answer, `faulthandler` fails. */
long offer_sysconf(int name) {
    enum { MIN_SIGNAL_STACK = 249, SIGNAL_STACK = 250, AUXV_MIN_SIGNAL_STACK = 51 };
    static void *_Atomic known;
    long (*original)(int);
    void *found = theirs("sysconf", &known);
    memcpy(&original, &found, sizeof original);
    long answer = original(name);
    if (answer >= 0 || (name != MIN_SIGNAL_STACK && name != SIGNAL_STACK)) return answer;
    long least = (long)getauxval(AUXV_MIN_SIGNAL_STACK);
    if (least < 2048) least = 2048;
    return name == MIN_SIGNAL_STACK ? least : 4 * least;
}

/* Since 2.30. Without it a lock with a timeout follows the wall clock, as Python itself does on such a system. */
int offer_sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *until) {
    static void *_Atomic known;
    int (*original)(sem_t *, clockid_t, const struct timespec *);
    void *found = theirs("sem_clockwait", &known);
    memcpy(&original, &found, sizeof original);
    if (original) return original(sem, clock, until);
    struct timespec now, wall;
    if (clock_gettime(clock, &now) || clock_gettime(CLOCK_REALTIME, &wall)) return -1;
    wall.tv_sec += until->tv_sec - now.tv_sec;
    wall.tv_nsec += until->tv_nsec - now.tv_nsec;
    if (wall.tv_nsec < 0) { wall.tv_nsec += 1000000000; wall.tv_sec--; }
    if (wall.tv_nsec >= 1000000000) { wall.tv_nsec -= 1000000000; wall.tv_sec++; }
    return sem_timedwait(sem, &wall);
}
