package main

// The Go runtime's monitor thread looks at the others every 20 µs while anything runs,
// which for a program that does a little every few milliseconds is a sixth of all its
// processor time. A timer slack (prctl(2), PR_SET_TIMERSLACK) of a millisecond lets the
// kernel put those looks off, and together with others'; nothing here needs a timer to
// be finer. Threads inherit it from the one that makes them, and the monitor is there
// before any Go code: so a constructor sets it. Only of serve: the emulator paces
// octets by its timers.

/*
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

__attribute__((constructor)) static void recado_timer_slack(void) {
	char line[4096];
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	ssize_t n = read(fd, line, sizeof line - 1);
	close(fd);
	if (n <= 0)
		return;
	line[n] = 0;
	size_t name = strlen(line) + 1;
	if (name < (size_t)n && strcmp(line + name, "serve") == 0)
		prctl(PR_SET_TIMERSLACK, 1000000UL, 0, 0, 0);
}
*/
import "C"
