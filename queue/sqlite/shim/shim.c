//go:build ignore

// The shim stands between SQLite and libc in tests (LD_PRELOAD). It records in
// order what SQLite does to the files whose path contains ".db", and can make
// those calls fail or wait. Go's own file calls do not pass through libc and are
// neither recorded nor disturbed.
//
// SHIM_LOG=FILE    record into FILE (appended to).
// SHIM_MARK=FD     the log is open under this descriptor number in the process
//                  as well: a whole record of kind M written there with one
//                  write(2) lies in order among the others (shim.Mark does it).
// SHIM_FAULT=FILE  while FILE exists, its one line says what goes wrong:
//                      CALL WHAT SKIP TIMES [PART]
//                  CALL  write, sync, truncate, unlink or any
//                  WHAT  EIO, ENOSPC, EROFS, or a number: wait that many ms, then go on
//                  SKIP  so many matching calls go well first
//                  TIMES so many then fail (or wait); -1 is all that follow
//                  PART  only files whose path ends so, such as .db-wal
//                  Counting begins anew when the line changes, or when a call finds
//                  no FILE. A call that is made to fail does nothing to the file.
//
// The log is a row of records, all numbers little-endian:
//     offset 0   4  magic "SHIM"
//     offset 4   1  kind: W write, T truncate, S sync, U unlink, M marker
//     offset 5   1  0
//     offset 6   2  length of the name
//     offset 8   4  errno, 0 when it went well
//     offset 12  4  length of the data (W: what was written, M: the marker)
//     offset 16  8  W: where in the file; T: the new size
//     offset 24     the name (base name of the path), then the data
// A call and its record happen under one lock, so that their order in the log is
// the order in which they happened, and what stands before a record S of a file
// was written before that sync began.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static int ready;

// The faults' line as it was last read, and how many calls it has matched.
static char line[256];
static long matched;

// The kernel is called directly: looking the real functions up would call libc's
// allocator in the middle of what is being observed.
static ssize_t sys_write(int fd, const void *p, size_t n) { return syscall(SYS_write, fd, p, n); }

static void setup(void) {
	if (ready) return;
	ready = 1;
	const char *file = getenv("SHIM_LOG"), *mark = getenv("SHIM_MARK");
	if (!file || !*file) return;
	log_fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log_fd >= 0 && mark && *mark) dup2(log_fd, atoi(mark));
	if (log_fd < 0) {
		static const char say[] = "shim: cannot open SHIM_LOG\n";
		sys_write(2, say, sizeof say - 1);
		_exit(99);
	}
}

// The mark's descriptor must exist before the program's first write.
__attribute__((constructor)) static void begin(void) { setup(); }

static void record(char kind, const char *path, int err, const void *data, uint32_t n, int64_t at) {
	if (log_fd < 0) return;
	const char *base = strrchr(path, '/');
	base = base ? base + 1 : path;
	uint16_t name = (uint16_t)strlen(base);
	unsigned char h[24] = "SHIM";
	h[4] = (unsigned char)kind;
	int32_t e = err;
	memcpy(h + 6, &name, 2);
	memcpy(h + 8, &e, 4);
	memcpy(h + 12, &n, 4);
	memcpy(h + 16, &at, 8);
	struct iovec v[3] = {{h, sizeof h}, {(void *)base, name}, {(void *)data, n}};
	if (syscall(SYS_writev, log_fd, v, 3) != (ssize_t)(sizeof h + name + n)) {
		static const char say[] = "shim: cannot write SHIM_LOG\n";
		sys_write(2, say, sizeof say - 1);
		_exit(99);
	}
}

// fault gives the error that this call shall have, 0 for none; it may wait.
static int fault(const char *call, const char *path) {
	const char *file = getenv("SHIM_FAULT");
	if (!file || !*file) return 0;
	int fd = open(file, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		line[0] = 0;
		return 0;
	}
	char now[sizeof line] = "";
	ssize_t n = read(fd, now, sizeof now - 1);
	close(fd);
	now[n > 0 ? n : 0] = 0;
	if (strcmp(now, line) != 0) {
		strcpy(line, now);
		matched = 0;
	}
	char which[16] = "", what[16] = "", part[128] = "";
	long skip = 0, times = 0;
	if (sscanf(now, "%15s %15s %ld %ld %127s", which, what, &skip, &times, part) < 4) return 0;
	if (strcmp(which, "any") != 0 && strcmp(which, call) != 0) return 0;
	size_t a = strlen(path), b = strlen(part);
	if (b > a || strcmp(path + a - b, part) != 0) return 0;
	matched++;
	if (matched <= skip || (times >= 0 && matched > skip + times)) return 0;
	if (strcmp(what, "EIO") == 0) return EIO;
	if (strcmp(what, "ENOSPC") == 0) return ENOSPC;
	if (strcmp(what, "EROFS") == 0) return EROFS;
	long ms = atol(what);
	struct timespec t = {ms / 1000, (ms % 1000) * 1000000};
	nanosleep(&t, NULL);
	return 0;
}

// watched says whether fd is one of SQLite's files, and gives its path.
static int watched(int fd, char *path, size_t size) {
	char link[64];
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, size - 1);
	if (n <= 0) return 0;
	path[n] = 0;
	return strstr(path, ".db") != NULL;
}

static ssize_t put(int fd, const void *p, size_t n, off64_t at, int positioned) {
	char path[4096];
	int seen = errno;
	if (fd == log_fd || !watched(fd, path, sizeof path)) {
		errno = seen;
		return positioned ? syscall(SYS_pwrite64, fd, p, n, at) : sys_write(fd, p, n);
	}
	pthread_mutex_lock(&lock);
	if (!positioned) at = lseek64(fd, 0, SEEK_CUR);
	ssize_t done = -1;
	int err = fault("write", path);
	if (!err) {
		done = positioned ? syscall(SYS_pwrite64, fd, p, n, at) : sys_write(fd, p, n);
		err = done < 0 ? errno : 0;
	}
	record('W', path, err, p, done > 0 ? (uint32_t)done : 0, at);
	pthread_mutex_unlock(&lock);
	errno = err ? err : seen;
	return done;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at) { return put(fd, p, n, at, 1); }
ssize_t pwrite(int fd, const void *p, size_t n, off_t at) { return put(fd, p, n, at, 1); }
ssize_t write(int fd, const void *p, size_t n) { return put(fd, p, n, 0, 0); }

static int flush(int fd, long number) {
	char path[4096];
	int seen = errno;
	if (!watched(fd, path, sizeof path)) {
		errno = seen;
		return (int)syscall(number, fd);
	}
	pthread_mutex_lock(&lock);
	int err = fault("sync", path);
	if (!err && syscall(number, fd) != 0) err = errno;
	record('S', path, err, NULL, 0, 0);
	pthread_mutex_unlock(&lock);
	errno = err ? err : seen;
	return err ? -1 : 0;
}

int fsync(int fd) { return flush(fd, SYS_fsync); }
int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }

static int cut(int fd, off64_t size) {
	char path[4096];
	int seen = errno;
	if (!watched(fd, path, sizeof path)) {
		errno = seen;
		return (int)syscall(SYS_ftruncate, fd, size);
	}
	pthread_mutex_lock(&lock);
	int err = fault("truncate", path);
	if (!err && syscall(SYS_ftruncate, fd, size) != 0) err = errno;
	record('T', path, err, NULL, 0, size);
	pthread_mutex_unlock(&lock);
	errno = err ? err : seen;
	return err ? -1 : 0;
}

int ftruncate64(int fd, off64_t size) { return cut(fd, size); }
int ftruncate(int fd, off_t size) { return cut(fd, size); }

int unlink(const char *path) {
	if (!strstr(path, ".db")) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
	int seen = errno;
	pthread_mutex_lock(&lock);
	int err = fault("unlink", path);
	if (!err && syscall(SYS_unlinkat, AT_FDCWD, path, 0) != 0) err = errno;
	record('U', path, err, NULL, 0, 0);
	pthread_mutex_unlock(&lock);
	errno = err ? err : seen;
	return err ? -1 : 0;
}
