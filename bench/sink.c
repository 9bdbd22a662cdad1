/* Devices by the thousand: WebSocket clients that check what they are sent, at the cost of reading.
 *
 * Told what to do line by line on standard input, answers with one JSON line each:
 *
 *     connect PORT TARGET     one more device, at ws://127.0.0.1:PORT/TARGET   (answers nothing)
 *     connected               when all of them are               {"sockets": N}
 *     messages                how many have come                 {"messages": N}
 *     wait N SECONDS          until N messages have come since the start, or none for SECONDS:
 *                             {"messages", "wrong", "lost", "last", "cpu", "p50_ms", "p99_ms"};
 *                             latencies are those since the last wait
 *
 * Each message ends in "seq":N}, and must be its device's next. Its msg_id begins with the moment
 * of writing in microseconds since the Unix epoch. "last" is the monotonic clock at the last
 * arrival, "cpu" this process's CPU seconds so far. Pings are answered. Frames are taken as this
 * server writes them: not masked, not in fragments.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER 262144

struct device {
    int fd;
    long seq;
    size_t kept;
    unsigned char *rest;
};

static struct device *devices;
static int count, room, ready;
static long messages, wrong, lost, timed, times_room;
static int32_t *times;
static double last;

static void die(const char *what) {
    perror(what);
    exit(1);
}

static double clock_now(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* The answer to the handshake is read a byte at a time, so that no frame is read with it. */
static void connect_one(int port, const char *target) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    char text[1024];
    int length = snprintf(text, sizeof text,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\n"
                          "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                          target, port);
    if (length >= (int)sizeof text || write(fd, text, (size_t)length) != length) die("handshake");
    int got = 0;
    while (got < (int)sizeof text - 1 && (got < 4 || memcmp(text + got - 4, "\r\n\r\n", 4) != 0)) {
        if (read(fd, text + got, 1) != 1) die("handshake");
        got++;
    }
    text[got] = 0;
    if (strncmp(text, "HTTP/1.1 101 ", 13) != 0) {
        fprintf(stderr, "refused: %s\n", text);
        exit(1);
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    if (count == room) {
        room = room ? 2 * room : 1024;
        devices = realloc(devices, (size_t)room * sizeof *devices);
        if (devices == NULL) die("realloc");
    }
    devices[count] = (struct device){.fd = fd};
    struct epoll_event wanted = {.events = EPOLLIN, .data.u32 = (uint32_t)count};
    if (epoll_ctl(ready, EPOLL_CTL_ADD, fd, &wanted) < 0) die("epoll_ctl");
    count++;
}

static void took(struct device *device, const char *text, size_t length, double now) {
    size_t digits = length - 1; /* behind the last digit is the closing brace */
    while (digits > 0 && text[digits - 1] != ':') digits--;
    long seq = strtol(text + digits, NULL, 10);
    if (seq != device->seq + 1) wrong++;
    device->seq = seq;
    messages++;
    const char *id = memmem(text, length, "\"msg_id\":\"", 10);
    if (id == NULL) {
        wrong++;
        return;
    }
    if (timed == times_room) {
        times_room = times_room ? 2 * times_room : 65536;
        times = realloc(times, (size_t)times_room * sizeof *times);
        if (times == NULL) die("realloc");
    }
    times[timed++] = (int32_t)(1e6 * now - strtod(id + 10, NULL));
}

/* Uses up whole frames; how many bytes that were. */
static size_t frames(struct device *device, unsigned char *text, size_t end, double now) {
    size_t start = 0;
    while (start + 2 <= end) {
        size_t length = text[start + 1], body = start + 2;
        if (length >= 126) {
            size_t wide = length == 126 ? 2 : 8;
            if (body + wide > end) break;
            length = 0;
            for (size_t i = 0; i < wide; i++) length = length << 8 | text[body + i];
            body += wide;
        }
        if (body + length > end) break;
        if (text[start] == 0x81) {
            took(device, (char *)text + body, length, now);
        } else if (text[start] == 0x89 && length < 126) {
            unsigned char pong[131] = {0x8A, (unsigned char)(0x80 | length)}; /* the key is 0 */
            memcpy(pong + 6, text + body, length);
            if (write(device->fd, pong, length + 6) < 0 && errno != EAGAIN) lost++;
        }
        start = body + length;
    }
    return start;
}

static void receive(struct device *device) {
    static unsigned char buffer[2 * BUFFER];
    memcpy(buffer, device->rest, device->kept);
    ssize_t got = read(device->fd, buffer + device->kept, BUFFER);
    if (got <= 0) {
        if (got < 0 && errno == EAGAIN) return;
        lost++;
        close(device->fd);
        return;
    }
    last = clock_now(CLOCK_MONOTONIC);
    size_t end = device->kept + (size_t)got;
    size_t used = frames(device, buffer, end, clock_now(CLOCK_REALTIME));
    device->kept = end - used;
    if (device->kept > BUFFER) die("a frame too long");
    if (device->kept) {
        device->rest = realloc(device->rest, BUFFER);
        if (device->rest == NULL) die("realloc");
        memcpy(device->rest, buffer + used, device->kept);
    }
}

static int by_size(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static double percentile(double share) {
    if (!timed) return 0;
    long place = (long)(share * (double)timed);
    return times[place < timed ? place : timed - 1] / 1e3;
}

static void report(void) {
    qsort(times, (size_t)timed, sizeof *times, by_size);
    printf("{\"messages\": %ld, \"wrong\": %ld, \"lost\": %ld, \"last\": %.6f, \"cpu\": %.6f, "
           "\"p50_ms\": %.3f, \"p99_ms\": %.3f}\n",
           messages, wrong, lost, last, cpu(), percentile(0.5), percentile(0.99));
    fflush(stdout);
    timed = 0;
}

int main(void) {
    static char line[1024];
    size_t have = 0;
    long wanted = -1;
    double patience = 0, waiting_since = 0;
    struct epoll_event found[512];
    ready = epoll_create1(0);
    struct epoll_event orders = {.events = EPOLLIN, .data.u32 = UINT32_MAX};
    if (ready < 0 || epoll_ctl(ready, EPOLL_CTL_ADD, 0, &orders) < 0) die("epoll");
    for (;;) {
        int events = epoll_wait(ready, found, 512, wanted < 0 ? -1 : 100);
        for (int i = 0; i < events; i++) {
            if (found[i].data.u32 != UINT32_MAX) {
                receive(&devices[found[i].data.u32]);
                continue;
            }
            ssize_t got = read(0, line + have, sizeof line - 1 - have);
            if (got <= 0) return 0;
            have += (size_t)got;
            char *end;
            while ((end = memchr(line, '\n', have)) != NULL) {
                *end = 0;
                int port;
                char target[512];
                if (sscanf(line, "connect %d %511s", &port, target) == 2) {
                    connect_one(port, target);
                } else if (strcmp(line, "connected") == 0) {
                    printf("{\"sockets\": %d}\n", count);
                    fflush(stdout);
                } else if (strcmp(line, "messages") == 0) {
                    printf("{\"messages\": %ld}\n", messages);
                    fflush(stdout);
                } else if (sscanf(line, "wait %ld %lf", &wanted, &patience) == 2) {
                    waiting_since = clock_now(CLOCK_MONOTONIC);
                } else {
                    fprintf(stderr, "sink: what is %s?\n", line);
                    return 2;
                }
                have -= (size_t)(end + 1 - line);
                memmove(line, end + 1, have);
            }
            if (have == sizeof line - 1) {
                fprintf(stderr, "sink: a line too long\n");
                return 2;
            }
        }
        if (wanted >= 0) {
            double since = last > waiting_since ? last : waiting_since;
            if (messages >= wanted || clock_now(CLOCK_MONOTONIC) - since > patience) {
                report();
                wanted = -1;
            }
        }
    }
}
