/* A clock that is set for one daemon alone: the wall clock shows as many seconds more as a file says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int (*ask)(clockid_t, struct timespec *);
static const volatile long *ahead;

/* Before main, so before anything is confined. */
__attribute__((constructor)) static void begin(void) {
    ask = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int fd = open(AHEAD, O_RDONLY | O_CLOEXEC);
    void *page = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
    if (page != MAP_FAILED)
        ahead = page;
    close(fd);
}

int clock_gettime(clockid_t id, struct timespec *at) {
    if (!ask)
        begin();
    int answer = ask(id, at);
    if (answer == 0 && ahead && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
        at->tv_sec += *ahead;
    return answer;
}
