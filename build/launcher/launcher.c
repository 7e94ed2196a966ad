/* The file that users download is this program, a list of files, and their contents compressed.
 *
 * It unpacks once per build into a cache of the user's and then *becomes* the unpacked program with exec: the process
 * that was started is the program itself, so that signals, exit codes and terminals need nobody in between.
 *
 * Layout, numbers little-endian (`build/pack.py` writes it):
 *
 *     this program | list | contents (one zstd frame) | footer
 *
 * An entry of the list is: type ('d', 'f', 'l'), 1 byte; size of the content, 4; executable, 1; length of the path, 2;
 * the path, ended by a zero byte. What is in one folder comes together, after the folder.
 * The content of a link is where it points.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#define PROGRAM "cerebelum"
#define CANNOT_START 71          /* EX_OSERR */
#define BROKEN_DOWNLOAD 65       /* EX_DATAERR */
#define DAY 86400
#define UNUSED (30 * DAY)        /* after so long a copy of another build goes */
#define ABANDONED 3600           /* so old is only the remainder of an unpacking that was killed */
#define LOCK_PATIENCE 100        /* tenths of a second that somebody else's unpacking is waited for */
#define FILE_TIME 1577836800     /* the mtime of every unpacked file: a changed one has another */
#define MAX_WINDOW_LOG 27
#ifdef __aarch64__
#define LOADER "/lib/ld-linux-aarch64.so.1"
#else
#define LOADER "/lib64/ld-linux-x86-64.so.2"
#endif

static const char MAGIC[8] = "CBLMPKG2";

struct footer {
    uint64_t list_at, list_len, contents_at, contents_len;
    char id[40];
    uint64_t checksum;           /* of everything before it */
    char magic[8];
};

struct image {
    const unsigned char *start;  /* the whole file */
    size_t size;
    struct footer foot;
};

struct entry {
    char type;
    uint32_t size;
    int executable;
    const char *path;
};

static char reasons[8192];       /* why each place was of no use, for the last message */

__attribute__((noreturn, format(printf, 2, 3)))
static void fail(int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fputs(PROGRAM ": ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    _exit(code);
}

__attribute__((format(printf, 2, 3)))
static int refuse(const char *place, const char *format, ...) {
    char why[512];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    size_t used = strlen(reasons);
    snprintf(reasons + used, sizeof reasons - used, "\n  %s: %s", place, why);
    return -1;
}

/* ---- the file itself ------------------------------------------------------------------------------------------- */

static uint64_t fnv1a(const unsigned char *bytes, size_t count) {
    uint64_t sum = 0xcbf29ce484222325u;
    /* Eight bytes at a time: this is against accidents, not against people, and 17 MB should take milliseconds. */
    for (; count >= 8; bytes += 8, count -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        sum = (sum ^ word) * 0x100000001b3u;
        sum ^= sum >> 29;
    }
    for (; count; bytes++, count--) sum = (sum ^ *bytes) * 0x100000001b3u;
    return sum;
}

static void open_image(struct image *image, const char *self) {
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        fail(CANNOT_START, "cannot read its own file: %s (is /proc mounted?)", strerror(errno));
    image->size = (size_t)st.st_size;
    void *mapped = mmap(NULL, image->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (mapped == MAP_FAILED) fail(CANNOT_START, "cannot read %s: %s", self, strerror(errno));
    close(fd);
    image->start = mapped;
    struct footer *foot = &image->foot;
    int whole = image->size > sizeof *foot;
    if (whole) {
        memcpy(foot, image->start + image->size - sizeof *foot, sizeof *foot);
        whole = !memcmp(foot->magic, MAGIC, sizeof MAGIC) && foot->list_at <= image->size
                && foot->list_len <= image->size - foot->list_at && foot->contents_at == foot->list_at + foot->list_len
                && foot->contents_len == image->size - sizeof *foot - foot->contents_at;
    }
    if (!whole)
        fail(BROKEN_DOWNLOAD, "%s is incomplete or altered: its end is missing\n  hint: download it again and compare"
             " its SHA-256 with the published one", self);
}

static void check_image(const struct image *image, const char *self) {
    size_t covered = image->size - sizeof image->foot + offsetof(struct footer, checksum);
    if (fnv1a(image->start, covered) != image->foot.checksum)
        fail(BROKEN_DOWNLOAD, "%s was altered or damaged: its content does not match its checksum\n  hint: download it"
             " again and compare its SHA-256 with the published one", self);
}

/* The entry at `at`, which moves on; 0 at the end of the list. The list is trusted once the footer is. */
static int next_entry(const struct image *image, size_t *at, struct entry *entry) {
    const unsigned char *list = image->start + image->foot.list_at, *here = list + *at;
    if (image->foot.list_len - *at < 9) return 0;
    size_t path_len = (size_t)here[6] | (size_t)here[7] << 8;
    if (image->foot.list_len - *at < 8 + path_len + 1 || here[8 + path_len]) return 0;
    entry->type = (char)here[0];
    entry->size = here[1] | here[2] << 8 | here[3] << 16 | (uint32_t)here[4] << 24;
    entry->executable = here[5];
    entry->path = (const char *)here + 8;
    *at += 8 + path_len + 1;
    return 1;
}

/* ---- folders --------------------------------------------------------------------------------------------------- */

static void remove_tree(int parent, const char *name) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *found;
    while (folder && (found = readdir(folder)))
        if (strcmp(found->d_name, ".") && strcmp(found->d_name, "..") && unlinkat(fd, found->d_name, 0))
            remove_tree(fd, found->d_name);
    if (folder) closedir(folder);
    else if (fd >= 0) close(fd);
    unlinkat(parent, name, AT_REMOVEDIR);
}

static int make_folders(const char *path) {
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len >= sizeof part) { errno = ENAMETOOLONG; return -1; }
    for (size_t i = 1; i <= len; i++)
        if (path[i] == '/' || !path[i]) {
            memcpy(part, path, i);
            part[i] = 0;
            if (mkdir(part, 0700) && errno != EEXIST) {
                struct stat st;
                int error = errno;
                if (stat(part, &st)) { errno = error; return -1; }
            }
        }
    return 0;
}

/* In a user namespace all whose numbers are unknown there, such as the system's root, look like one: the overflow uid.
 * It is theirs alone where the namespace gives that number to nobody. */
static int is_overflow(uid_t owner) {
    unsigned long overflow, inside, outside, count;
    FILE *file = fopen("/proc/sys/kernel/overflowuid", "re");
    int known = file && fscanf(file, "%lu", &overflow) == 1 && owner == overflow;
    if (file) fclose(file);
    if (!known || !(file = fopen("/proc/self/uid_map", "re"))) return 0;
    while (known && fscanf(file, "%lu %lu %lu", &inside, &outside, &count) == 3)
        known = owner < inside || owner - inside >= count;
    fclose(file);
    return known;
}

/* Whose folders above ours are fit for use. Who owns `/` can replace everything there is, and owns it in namespaces that
 * do have the overflow uid, but not the system's root. */
static int is_trusted(uid_t owner) {
    struct stat st;
    return !owner || owner == geteuid() || (!stat("/", &st) && owner == st.st_uid) || is_overflow(owner);
}

/* Could somebody else put another folder where `path` is? Then checking it once would say nothing. Owners of a folder
 * can, even where the sticky bit keeps all others from it. */
static int replaceable(const char *path) {
    char real[PATH_MAX];
    struct stat st;
    if (!realpath(path, real)) return 1;
    for (char *slash; (slash = strrchr(real, '/')); *slash = 0) {
        slash[slash == real] = 0;
        if (stat(real, &st) || !is_trusted(st.st_uid) || ((st.st_mode & 02) && !(st.st_mode & S_ISVTX))) return 1;
        if (slash == real) break;
    }
    return 0;
}

/* Open the cache folder if it is ours alone and programs in it may be started; -1, with the reason noted, if not. */
static int open_cache(const char *base, int create) {
    struct stat st;
    struct statvfs fs;
    if (create && make_folders(base)) return refuse(base, "cannot be made: %s", strerror(errno));
    int fd = open(base, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        int error = errno;
        if (!lstat(base, &st) && S_ISLNK(st.st_mode)) return refuse(base, "is a link, which is not followed");
        return refuse(base, "cannot be opened: %s", strerror(error));
    }
    const char *why = NULL;
    if (fstat(fd, &st) || st.st_uid != geteuid()) why = "belongs to somebody else";
    else if (st.st_mode & 022) why = "can be written by others";
    else if (replaceable(base)) why = "is in a folder where others can replace it";
    else if (!fstatvfs(fd, &fs) && (fs.f_flag & ST_NOEXEC)) why = "is mounted noexec";
    if (!why) return fd;
    close(fd);
    return refuse(base, "%s", why);
}

/* ---- a copy ---------------------------------------------------------------------------------------------------- */

static int is_module(const struct entry *entry) {
    const char *dot = strrchr(entry->path, '.');
    return dot && !strcmp(dot, ".pyc");
}

static int is_before(struct timespec one, struct timespec other) {
    return one.tv_sec < other.tv_sec || (one.tv_sec == other.tv_sec && one.tv_nsec < other.tv_nsec);
}

/* Is every file of the list in the folder, as it was unpacked? Sizes and times tell. Files of one folder follow each
 * other in the list, so that the kernel need not walk the same path for each.
 *
 * Modules are nine of ten files, and asking for each would take a quarter of a short command's time. Where all were
 * `seen` a while ago, their folders answer for them: that one of them went or was replaced since then shows in the
 * time of the folder's last change, which nobody can set. */
static int is_sound(const struct image *image, int copy, const struct timespec *seen) {
    struct entry entry;
    struct stat st;
    char name[PATH_MAX] = "";
    size_t at = 0, kept = 0;
    int folder = copy, sound = 1;
    while (sound && next_entry(image, &at, &entry)) {
        if (entry.type == 'd') {
            if (seen) sound = !fstatat(copy, entry.path, &st, AT_SYMLINK_NOFOLLOW) && is_before(st.st_ctim, *seen);
            continue;
        }
        if (seen && is_module(&entry)) continue;
        const char *slash = strrchr(entry.path, '/');
        size_t len = slash ? (size_t)(slash + 1 - entry.path) : 0;
        if (len != kept || memcmp(name, entry.path, len)) {
            if (folder >= 0 && folder != copy) close(folder);
            if (len >= sizeof name) return 0;
            memcpy(name, entry.path, len);
            name[kept = len] = 0;
            folder = len ? openat(copy, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : copy;
        }
        sound = folder >= 0 && !fstatat(folder, entry.path + len, &st, AT_SYMLINK_NOFOLLOW)
                && st.st_size == entry.size
                && (entry.type == 'l' ? S_ISLNK(st.st_mode)
                                      : S_ISREG(st.st_mode) && st.st_mtime == FILE_TIME
                                            && (!entry.executable || st.st_mode & S_IXUSR));
    }
    if (folder >= 0 && folder != copy) close(folder);
    return sound;
}

/* Whether all was seen since this machine was started, which is when files can have become short, and in the last day,
 * by the clock as it is now. */
static int is_lately(time_t seen) {
    struct timespec up;
    time_t now = time(NULL);
    return seen <= now && now - seen <= DAY && !clock_gettime(CLOCK_BOOTTIME, &up) && now - seen < up.tv_sec;
}

/* The mtime of a copy is when all of it was seen: the time before that began, by the clock that its folders have. */
static int see_all(const struct image *image, int copy) {
    struct timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_OMIT}};
    struct stat st;
    int writable = !futimens(copy, times) && !fstat(copy, &st);
    if (!is_sound(image, copy, NULL)) return 0;
    if (writable) {
        times[0] = times[1] = st.st_atim;
        futimens(copy, times);
    }
    return 1;
}

static void tidy(int cache, const char *keep);

/* The sound copy of this build, locked for as long as this process lives; -1 if there is none. */
static int open_copy(const struct image *image, int cache, const char *id) {
    struct stat st;
    /* Not closed by exec: the lock is what tells other builds that this copy is in use. */
    int copy = openat(cache, id, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (copy < 0) return -1;
    if (fstat(copy, &st) || st.st_uid != geteuid() || (st.st_mode & 022)) {
        close(copy);
        return -1;
    }
    /* Whoever has it alone is removing it. Where there are no locks, nothing is removed, either. */
    if (flock(copy, LOCK_SH | LOCK_NB) && errno == EWOULDBLOCK) {
        close(copy);
        return -1;
    }
    int lately = is_lately(st.st_mtime);
    if (lately && is_sound(image, copy, &st.st_mtim)) return copy;
    if (!see_all(image, copy)) {
        close(copy);
        return -1;
    }
    if (!lately) tidy(cache, id);
    return copy;
}

struct source {
    ZSTD_DStream *stream;
    ZSTD_inBuffer in;
    char block[1 << 17];
    size_t at, end;
};

/* Some of the next `want` bytes, at least one; 0 when the contents are at an end or not readable. */
static size_t read_some(struct source *source, size_t want, const char **bytes) {
    while (source->at == source->end) {
        ZSTD_outBuffer out = {source->block, sizeof source->block, 0};
        size_t before = source->in.pos, state = ZSTD_decompressStream(source->stream, &out, &source->in);
        if (ZSTD_isError(state) || (!out.pos && source->in.pos == before)) return 0;
        source->at = 0;
        source->end = out.pos;
    }
    size_t count = source->end - source->at < want ? source->end - source->at : want;
    *bytes = source->block + source->at;
    source->at += count;
    return count;
}

static int write_file(struct source *source, int folder, const struct entry *entry) {
    static const struct timespec times[2] = {{FILE_TIME, 0}, {FILE_TIME, 0}};
    int fd = openat(folder, entry->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, entry->executable ? 0700 : 0600);
    if (fd < 0) return -1;
    for (size_t left = entry->size; left;) {
        const char *bytes;
        size_t count = read_some(source, left, &bytes);
        if (!count) errno = EBADMSG;
        for (size_t done = 0; done < count;) {
            ssize_t written = write(fd, bytes + done, count - done);
            if (written < 0 && errno == EINTR) continue;
            if (written <= 0) { count = 0; break; }
            done += (size_t)written;
        }
        if (!count) { int error = errno; close(fd); errno = error; return -1; }
        left -= count;
    }
    if (futimens(fd, times)) { close(fd); return -1; }
    return close(fd);
}

static int write_link(struct source *source, int folder, const struct entry *entry) {
    char target[PATH_MAX];
    if (entry->size >= sizeof target) { errno = ENAMETOOLONG; return -1; }
    for (size_t got = 0; got < entry->size;) {
        const char *bytes;
        size_t count = read_some(source, entry->size - got, &bytes);
        if (!count) { errno = EBADMSG; return -1; }
        memcpy(target + got, bytes, count);
        got += count;
    }
    target[entry->size] = 0;
    return symlinkat(target, folder, entry->path);
}

static int unpack(const struct image *image, int folder) {
    static struct source source;
    struct entry entry;
    source.at = source.end = 0;
    source.in = (ZSTD_inBuffer){image->start + image->foot.contents_at, image->foot.contents_len, 0};
    source.stream = ZSTD_createDStream();
    if (!source.stream) { errno = ENOMEM; return -1; }
    ZSTD_DCtx_setParameter(source.stream, ZSTD_d_windowLogMax, MAX_WINDOW_LOG);
    int result = 0;
    /* No fsync: a file that a power cut left short has the wrong size, and is seen at the next start. */
    for (size_t at = 0; !result && next_entry(image, &at, &entry);)
        result = entry.type == 'd'   ? mkdirat(folder, entry.path, 0700)
                 : entry.type == 'l' ? write_link(&source, folder, &entry)
                                     : write_file(&source, folder, &entry);
    int error = errno;
    ZSTD_freeDStream(source.stream);
    errno = error;
    return result;
}

/* Whether a folder of the cache is a copy of some build, and not something of the user's that is called like one. */
static int is_copy(int cache, const char *name) {
    char program[64];
    struct stat st;
    size_t len = sizeof((struct footer){0}.id);
    if (strlen(name) != len || strspn(name, "0123456789abcdef") != len) return 0;
    snprintf(program, sizeof program, "%s/" PROGRAM, name);
    return !fstatat(cache, program, &st, AT_SYMLINK_NOFOLLOW) && S_ISREG(st.st_mode);
}

/* Remove a folder of the cache; what a kill leaves of it has the name of a remainder. */
static void retire(int cache, const char *name) {
    char gone[NAME_MAX + 1];
    int renamed = snprintf(gone, sizeof gone, ".new-%s", name) < (int)sizeof gone && !renameat(cache, name, cache, gone);
    remove_tree(cache, renamed ? gone : name);
}

/* Remove copies of other builds that nobody uses, and what killed processes left behind. */
static void tidy(int cache, const char *keep) {
    DIR *folder = fdopendir(dup(cache));
    struct dirent *found;
    time_t now = time(NULL);
    while (folder && (found = readdir(folder))) {
        struct stat st;
        const char *name = found->d_name;
        if (!strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, keep)) continue;
        if (fstatat(cache, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISDIR(st.st_mode)) continue;
        int remainder = !strncmp(name, ".new-", 5);
        if (!remainder && !is_copy(cache, name)) continue;
        if (now - st.st_mtime <= (remainder ? ABANDONED : UNUSED)) continue;
        int fd = openat(cache, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd >= 0 && (remainder || !flock(fd, LOCK_EX | LOCK_NB))) retire(cache, name);
        if (fd >= 0) close(fd);
    }
    if (folder) closedir(folder);
}

/* Unpack into a new folder and give it its name at once, when it is complete. Returns the copy, or -1. */
static int make_copy(const struct image *image, const char *base, int cache, const char *id) {
    char fresh[PATH_MAX], old[PATH_MAX];
    snprintf(fresh, sizeof fresh, "%s/.new-XXXXXX", base);
    if (!mkdtemp(fresh)) return refuse(base, "cannot be written: %s", strerror(errno));
    const char *name = strrchr(fresh, '/') + 1;
    int folder = open(fresh, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0 || unpack(image, folder)) {
        int error = errno;
        if (folder >= 0) close(folder);
        remove_tree(cache, name);
        return refuse(base, "cannot hold the unpacked program: %s", strerror(error));
    }
    close(folder);
    /* What has the name now is damaged, or somebody else's who was faster although the lock did not keep us apart. */
    for (int tries = 0; renameat(cache, name, cache, id) && tries < 2; tries++) {
        int copy = open_copy(image, cache, id);
        if (copy >= 0) {
            remove_tree(cache, name);
            return copy;
        }
        snprintf(old, sizeof old, "%s-old", name);
        if (renameat(cache, id, cache, old) == 0) {
            remove_tree(cache, old);
            unlinkat(cache, old, 0);
        }
    }
    tidy(cache, id);
    int copy = open_copy(image, cache, id);
    if (copy < 0) remove_tree(cache, name);
    return copy >= 0 ? copy : refuse(base, "the unpacked program is not as it should be");
}

static int lock_patiently(int cache) {
    for (int tenth = 0; flock(cache, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK; tenth++) {
        if (tenth == LOCK_PATIENCE) return -1;
        nanosleep(&(struct timespec){0, 100000000}, NULL);
    }
    return 0;
}

/* ---- from start to exec ---------------------------------------------------------------------------------------- */

/* Becomes the program in `base`, or returns with the reason noted. */
static void try_place(const struct image *image, const char *base, const char *self, char **argv) {
    char id[sizeof image->foot.id + 1] = {0}, program[PATH_MAX], told[PATH_MAX + 32];
    memcpy(id, image->foot.id, sizeof image->foot.id);
    size_t noted = strlen(reasons);
    int cache = open_cache(base, 0), copy = -1;
    if (cache >= 0) copy = open_copy(image, cache, id);
    else {
        reasons[noted] = 0;
        cache = open_cache(base, 1);
    }
    if (cache < 0) return;
    if (copy < 0) {
        check_image(image, self);
        lock_patiently(cache);
        copy = open_copy(image, cache, id);
        if (copy < 0) copy = make_copy(image, base, cache, id);
        flock(cache, LOCK_UN);
    }
    if (copy < 0) {
        close(cache);
        return;
    }
    if (snprintf(program, sizeof program, "%s/%s/" PROGRAM, base, id) < (int)sizeof program) {
        snprintf(told, sizeof told, "%d:%s", copy, self);
        setenv("_CEREBELUM_LAUNCHED", told, 1);
        execv(program, argv);
        int error = errno;
        unsetenv("_CEREBELUM_LAUNCHED");
        if ((error == ENOENT || error == ENOEXEC) && !access(program, F_OK)) {
            /* No other place would help. Others may use it: a home can be shared with systems that have glibc. */
            if (!flock(copy, LOCK_EX | LOCK_NB)) retire(cache, id);
            fail(CANNOT_START, "this system cannot start programs that need glibc: %s (is its C library musl?)\n  hint:"
                 " install cerebelum as a Python package instead",
                 error == ENOENT ? LOADER " is missing" : strerror(error));
        }
        errno = error;
    } else errno = ENAMETOOLONG;
    refuse(base, "programs in it cannot be started: %s", strerror(errno));
    close(copy);
    close(cache);
}

static int is_ours(const char *path) {
    struct stat st;
    return stat(path, &st) ? errno == ENOENT : st.st_uid == geteuid();
}

/* `below` is a folder of the environment variable `name`; `sudo` keeps HOME, and root's files have no place there. */
static int try_variable(const struct image *image, const char *name, const char *below, const char *self, char **argv) {
    char base[PATH_MAX];
    const char *value = getenv(name);
    if (!value || *value != '/') return 0;
    if (!is_ours(value)) return refuse(value, "($%s) belongs to somebody else", name);
    if (snprintf(base, sizeof base, "%s/%s", value, below) < (int)sizeof base) try_place(image, base, self, argv);
    return 1;
}

int main(int argc, char **argv) {
    (void)argc;
    /* Where a standard stream is closed, the next file to be opened would be taken for it. Writing to it fails as
     * before. */
    int fd;
    do fd = open("/dev/null", O_RDONLY);
    while (fd >= 0 && fd <= 2);
    if (fd > 2) close(fd);
    static const char *const anywhere[] = {"/var/tmp", "/tmp", "/dev/shm"};
    struct image image;
    char self[PATH_MAX], base[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len < 0) fail(CANNOT_START, "cannot read /proc/self/exe: %s (is /proc mounted?)", strerror(errno));
    self[len] = 0;
    open_image(&image, self);
    const char *told = getenv("CEREBELUM_CACHE_DIR");
    if (told && *told) {
        if (*told != '/') {
            if (!getcwd(base, sizeof base) || strlen(base) + strlen(told) + 2 > sizeof base)
                fail(CANNOT_START, "CEREBELUM_CACHE_DIR is not usable: %s", told);
            strcat(strcat(base, "/"), told);
        } else snprintf(base, sizeof base, "%s", told);
        try_place(&image, base, self, argv);
        fail(CANNOT_START, "cannot unpack itself where CEREBELUM_CACHE_DIR says:%s", reasons);
    }
    char ours[64];
    snprintf(ours, sizeof ours, PROGRAM "-%u", (unsigned)geteuid());
    if (!try_variable(&image, "XDG_CACHE_HOME", PROGRAM, self, argv))
        try_variable(&image, "HOME", ".cache/" PROGRAM, self, argv);
    told = getenv("TMPDIR");
    if (told && *told == '/' && snprintf(base, sizeof base, "%s/%s", told, ours) < (int)sizeof base)
        try_place(&image, base, self, argv);
    for (size_t i = 0; i < sizeof anywhere / sizeof *anywhere; i++) {
        snprintf(base, sizeof base, "%s/%s", anywhere[i], ours);
        try_place(&image, base, self, argv);
    }
    fail(CANNOT_START, "finds no place to unpack itself:%s\n  hint: set CEREBELUM_CACHE_DIR to a folder of yours where"
         " programs may be started", reasons);
}
