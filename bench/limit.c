/* What the kernel asks for a delivery: a bare loop of send(), and nothing else.
 *
 *     limit SOCKETS BYTES SENDS
 *
 * A child process connects SOCKETS times over loopback and reads whatever comes; this process
 * accepts, then calls send() with BYTES bytes on a random one of the sockets, SENDS times. It
 * prints one JSON line: CPU time of this process per send in microseconds, sends per second of
 * wall time, and how often a socket was full. A gateway cannot do better, one event at a time.
 */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static double wall(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* The child: connects, then reads until all of its sockets have ended. */
static void sink(struct sockaddr_in address, int sockets) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int ready = epoll_create1(0);
    for (int i = 0; i < sockets; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
        fcntl(fd, F_SETFL, O_NONBLOCK);
        struct epoll_event wanted = {.events = EPOLLIN, .data.fd = fd};
        if (epoll_ctl(ready, EPOLL_CTL_ADD, fd, &wanted) < 0) die("epoll_ctl");
    }
    static char buffer[65536];
    struct epoll_event events[256];
    while (sockets > 0) {
        int found = epoll_wait(ready, events, 256, -1);
        for (int i = 0; i < found; i++) {
            ssize_t got = read(events[i].data.fd, buffer, sizeof buffer);
            if (got == 0 || (got < 0 && errno != EAGAIN)) {
                close(events[i].data.fd);
                sockets--;
            }
        }
    }
    _exit(0);
}

int main(int argc, char **argv) {
    if (argc != 4) {
        fprintf(stderr, "usage: limit SOCKETS BYTES SENDS\n");
        return 2;
    }
    int sockets = atoi(argv[1]);
    size_t bytes = (size_t)atoi(argv[2]);
    long sends = atol(argv[3]);
    if (sockets < 1 || bytes < 1 || bytes > 65536 || sends < 1) {
        fprintf(stderr, "limit: SOCKETS and SENDS from 1, BYTES from 1 to 65536\n");
        return 2;
    }
    int server = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(server, (struct sockaddr *)&address, size) < 0) die("bind");
    if (listen(server, 4096) < 0) die("listen");
    getsockname(server, (struct sockaddr *)&address, &size);
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
        close(server);
        sink(address, sockets);
    }
    int *fds = calloc((size_t)sockets, sizeof *fds);
    int yes = 1;
    for (int i = 0; i < sockets; i++) {
        fds[i] = accept(server, NULL, NULL);
        if (fds[i] < 0) die("accept");
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
    char *frame = malloc(bytes);
    memset(frame, 'x', bytes);
    uint64_t random = 88172645463325252ULL;
    long full = 0;
    double began = wall(), used = cpu();
    for (long i = 0; i < sends; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        int fd = fds[random % (uint64_t)sockets];
        while (send(fd, frame, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) {
            if (errno != EAGAIN) die("send");
            struct pollfd patience = {.fd = fd, .events = POLLOUT};
            poll(&patience, 1, 1000);
            full++;
        }
    }
    used = cpu() - used;
    double took = wall() - began;
    printf("{\"us_per_send\": %.3f, \"sends_per_second\": %.0f, \"full\": %ld}\n",
           1e6 * used / (double)sends, (double)sends / took, full);
    for (int i = 0; i < sockets; i++) close(fds[i]);
    waitpid(child, NULL, 0);
    return 0;
}
