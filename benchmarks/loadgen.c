// Sends HTTP/1.1 requests over many connections, and takes little of the processors that it shares with what it measures.
//
//   loadgen --port PORT --connections N --head FILE --bodies FILE --schedule FILE --results FILE
//           [--tls] [--closed SECONDS] [--timeout SECONDS] [--mark HEADER]
//
//   head      request line and headers, without Content-Length and the empty line
//   bodies    of each its length (uint32) and its bytes
//   schedule  `struct due` for each request. Open loop: sent at its time, whatever became of the others, and its latency counts
//             from that time, also while no connection was free (no coordinated omission). With --closed the times mean
//             nothing: every connection sends the next one when it has its answer, until the seconds are over.
//   results   `struct result` for each request, in the order of their ends
//
// All connections are made before the clock starts. In a closed loop a client that is told 429 or 503 with Retry-After waits
// that long and then asks the same again. One thread, edge-triggered epoll. Numbers are little-endian, as on every host here.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TICK 0.05  // seconds between looks at what waits for a time
#define SETUP 60.0 // seconds in which all connections must be there

struct due {
    double at;     // seconds after the start
    uint32_t body; // which of the bodies
} __attribute__((packed));

// In place of a status.
enum { RESET = -1, TIMED_OUT = -2 };

struct result {
    double due, latency; // seconds
    uint32_t body;
    int16_t status;
    uint8_t retry_after, marked; // has the header
} __attribute__((packed));

enum state { CLOSED, CONNECTING, HANDSHAKING, IDLE, BUSY, RESTING };

struct connection {
    enum state state;
    int fd;
    SSL *tls;
    double due;         // of its request
    double until;       // BUSY: then it is given up; RESTING or CLOSED: then it goes on
    uint32_t body;
    bool asks_again;    // the same body, once it is connected and has rested
    char *out, *in;
    size_t out_size, out_length, out_sent, in_size, in_length;
    size_t head_length; // of the answer, 0 until it is complete
    long body_length;   // of the answer, -1: chunked
    bool closes;        // the answer says that the server will
    TAILQ_ENTRY(connection) waiting;
};

static TAILQ_HEAD(, connection) idle = TAILQ_HEAD_INITIALIZER(idle);
static struct connection *connections;
static int count, epoll, busy, reconnects;
static struct sockaddr_in address = {.sin_family = AF_INET};
static SSL_CTX *tls;
static double started, closed_seconds, patience = 30;
static bool running;
static const char *head, **bodies;
static size_t head_size, schedule_length, next_due;
static uint32_t *body_sizes;
static const struct due *schedule;
static FILE *results;
static char *mark;

static void make_connection(struct connection *c);

static void __attribute__((noreturn, format(printf, 1, 2))) fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("loadgen: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(1);
}

static void *reserve(void *memory, size_t size)
{
    if (!(memory = realloc(memory, size)))
        fail("no memory");
    return memory;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static const char *map(const char *path, size_t *size)
{
    struct stat about;
    int fd = open(path, O_RDONLY);
    if (fd < 0 || fstat(fd, &about))
        fail("can't read %s: %s", path, strerror(errno));
    *size = about.st_size;
    const char *bytes = mmap(NULL, *size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (bytes == MAP_FAILED)
        fail("can't map %s: %s", path, strerror(errno));
    close(fd);
    return bytes;
}

static uint32_t split_bodies(const char *bytes, size_t size)
{
    uint32_t found = 0, room = 0, length;
    for (size_t at = 0; at < size; at += sizeof length + length) {
        if (found == room) {
            room = room ? 2 * room : 1024;
            bodies = reserve(bodies, room * sizeof *bodies);
            body_sizes = reserve(body_sizes, room * sizeof *body_sizes);
        }
        memcpy(&length, bytes + at, sizeof length);
        bodies[found] = bytes + at + sizeof length;
        body_sizes[found++] = length;
    }
    return found;
}

static void record(double due, uint32_t body, int status, bool retry_after, bool marked)
{
    struct result r = {due - started, now() - due, body, status, retry_after, marked};
    if (fwrite(&r, sizeof r, 1, results) != 1)
        fail("can't write the results: %s", strerror(errno));
}

static bool over(void)
{
    return closed_seconds ? now() >= started + closed_seconds : next_due == schedule_length;
}

static void drop(struct connection *c)
{
    if (c->state == IDLE)
        TAILQ_REMOVE(&idle, c, waiting);
    if (c->state == BUSY)
        busy--;
    SSL_free(c->tls);
    c->tls = NULL;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->state = CLOSED;
    c->until = 0;
}

static void reconnect(struct connection *c)
{
    drop(c);
    reconnects++;
    make_connection(c);
}

// What was under way on it is lost.
static void lose(struct connection *c, int why)
{
    if (!running)
        fail("port %d: %s", ntohs(address.sin_port), why == TIMED_OUT ? "no answer" : "the connection ended before the first request");
    if (c->state == BUSY)
        record(c->due, c->body, why, false, false);
    reconnect(c);
}

// Bytes, 0: later, -1: the connection is no more.
static long transfer(struct connection *c, bool out)
{
    char *at = out ? c->out + c->out_sent : c->in + c->in_length;
    size_t size = out ? c->out_length - c->out_sent : c->in_size - c->in_length - 1;
    if (!c->tls) {
        ssize_t n = out ? send(c->fd, at, size, MSG_NOSIGNAL) : recv(c->fd, at, size, 0);
        return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
    }
    ERR_clear_error();
    int n = out ? SSL_write(c->tls, at, size) : SSL_read(c->tls, at, size);
    if (n > 0)
        return n;
    int error = SSL_get_error(c->tls, n);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static bool flush(struct connection *c)
{
    while (c->out_sent < c->out_length) {
        long n = transfer(c, true);
        if (n <= 0)
            return n == 0;
        c->out_sent += n;
    }
    return true;
}

static void ask(struct connection *c, double due, uint32_t body)
{
    size_t needed = head_size + 64 + body_sizes[body];
    if (c->out_size < needed)
        c->out = reserve(c->out, c->out_size = needed);
    memcpy(c->out, head, head_size);
    c->out_length = head_size + sprintf(c->out + head_size, "Content-Length: %u\r\n\r\n", body_sizes[body]);
    memcpy(c->out + c->out_length, bodies[body], body_sizes[body]);
    c->out_length += body_sizes[body];
    c->out_sent = c->in_length = c->head_length = 0;
    c->state = BUSY;
    c->due = due;
    c->until = now() + patience;
    c->body = body;
    c->asks_again = false;
    busy++;
    if (!flush(c))
        lose(c, RESET);
}

static void ready(struct connection *c)
{
    if (c->asks_again && !over()) {
        ask(c, now(), c->body);
    } else {
        c->state = IDLE;
        TAILQ_INSERT_TAIL(&idle, c, waiting);
    }
}

// The value of a header of the answer, NULL where it has none.
static const char *header(struct connection *c, const char *start)
{
    c->in[c->head_length - 1] = 0;
    const char *found = strcasestr(c->in, start);
    c->in[c->head_length - 1] = '\n';
    return found ? found + strlen(start) : NULL;
}

static bool is_complete(struct connection *c)
{
    if (!c->head_length) {
        char *end = memmem(c->in, c->in_length, "\r\n\r\n", 4);
        if (!end)
            return false;
        c->head_length = end + 4 - c->in;
        const char *length = header(c, "\r\nContent-Length:");
        c->body_length = length ? atol(length) : header(c, "\r\nTransfer-Encoding: chunked") ? -1 : 0;
        c->closes = header(c, "\r\nConnection: close");
    }
    if (c->body_length >= 0)
        return c->in_length >= c->head_length + c->body_length;
    // Nothing that is asked for here has bare line ends in its text, so that only the last chunk ends like this.
    return c->in_length >= c->head_length + 5 && !memcmp(c->in + c->in_length - 5, "0\r\n\r\n", 5);
}

static void answered(struct connection *c)
{
    int status = c->in_length > 12 ? atoi(c->in + 9) : 0;
    const char *wait = header(c, "\r\nRetry-After:");
    record(c->due, c->body, status, wait, mark && header(c, mark));
    busy--;
    c->state = RESTING;
    if (closed_seconds && wait && (status == 429 || status == 503)) {
        c->asks_again = true;
        c->until = now() + atof(wait);
        if (c->closes)
            shutdown(c->fd, SHUT_RDWR);
    } else if (c->closes) {
        reconnect(c);
    } else {
        ready(c);
    }
}

static void receive(struct connection *c)
{
    for (;;) {
        if (c->in_size < c->in_length + 16384)
            c->in = reserve(c->in, c->in_size = 2 * c->in_size + 32768);
        long n = transfer(c, false);
        if (n < 0) {
            double rest = c->state == RESTING ? c->until : 0;
            if (!rest) {
                lose(c, RESET);
            } else {
                drop(c);
                c->until = rest;
            }
            return;
        }
        if (n == 0)
            return;
        c->in_length += n;
        if (c->state == BUSY && is_complete(c)) {
            answered(c);
            return;
        }
    }
}

static void handshake(struct connection *c)
{
    if (c->tls) {
        ERR_clear_error();
        int n = SSL_do_handshake(c->tls);
        if (n != 1) {
            int error = SSL_get_error(c->tls, n);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
                lose(c, RESET);
            return;
        }
    }
    c->in_length = 0;
    ready(c);
}

static void make_connection(struct connection *c)
{
    int on = 1;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        fail("no socket: %s", strerror(errno));
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->state = CONNECTING;
    c->until = now() + patience;
    connect(c->fd, (struct sockaddr *)&address, sizeof address);
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static void connected(struct connection *c)
{
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        errno = error;
        if (!running)
            fail("port %d: %s", ntohs(address.sin_port), strerror(error));
        // Tried again at the next tick.
        drop(c);
        return;
    }
    if (tls) {
        c->tls = SSL_new(tls);
        SSL_set_fd(c->tls, c->fd);
        SSL_set_connect_state(c->tls);
    }
    c->state = HANDSHAKING;
    handshake(c);
}

static void handle(struct connection *c, uint32_t events)
{
    if (c->state == CONNECTING && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
        connected(c);
    else if (c->state == HANDSHAKING)
        handshake(c);
    else if (c->state == BUSY && !flush(c))
        lose(c, RESET);
    else if (c->state >= IDLE && events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
        receive(c);
}

// What waits for a time rather than for an event.
static void tick(void)
{
    double t = now();
    for (struct connection *c = connections; c < connections + count; c++) {
        if (c->state == IDLE || t < c->until)
            continue;
        if (c->state == CLOSED)
            make_connection(c);
        else if (c->state == RESTING)
            ready(c);
        else
            lose(c, TIMED_OUT);
    }
}

// Gives what is due to those who are free, longest idle first, so that all connections are in use.
static void dispatch(void)
{
    double t = now();
    while (!over() && (closed_seconds || started + schedule[next_due].at <= t)) {
        struct connection *c = TAILQ_FIRST(&idle);
        double due = closed_seconds ? t : started + schedule[next_due].at;
        bool too_late = t - due > patience;
        if (!c && !too_late)
            return;
        if (next_due == schedule_length)
            fail("the schedule has %zu requests, too few for %.0f seconds", schedule_length, closed_seconds);
        uint32_t body = schedule[next_due++].body;
        if (too_late) {
            record(due, body, TIMED_OUT, false, false);
        } else {
            TAILQ_REMOVE(&idle, c, waiting);
            c->state = RESTING;
            ask(c, due, body);
        }
    }
}

static void wait_for_events(void)
{
    static struct epoll_event events[512];
    double wait = TICK;
    if (running && !closed_seconds && !over() && !TAILQ_EMPTY(&idle)) {
        double next = started + schedule[next_due].at - now();
        wait = next < 0 ? 0 : next < TICK ? next : TICK;
    }
    struct timespec timeout = {0, wait * 1e9};
    int n = epoll_pwait2(epoll, events, 512, &timeout, NULL);
    if (n < 0 && errno != EINTR)
        fail("epoll: %s", strerror(errno));
    for (int i = 0; i < n; i++)
        handle(events[i].data.ptr, events[i].events);
    static double ticked;
    if (now() - ticked >= TICK) {
        ticked = now();
        tick();
    }
}

static bool all_idle(void)
{
    for (int i = 0; i < count; i++)
        if (connections[i].state != IDLE)
            return false;
    return true;
}

static double processor_seconds(void)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec + (used.ru_utime.tv_usec + used.ru_stime.tv_usec) * 1e-6;
}

static void read_options(int argc, char **argv)
{
    static const struct option known[] = {
        {"port", required_argument, NULL, 'p'},    {"connections", required_argument, NULL, 'c'},
        {"head", required_argument, NULL, 'h'},    {"bodies", required_argument, NULL, 'b'},
        {"schedule", required_argument, NULL, 's'}, {"results", required_argument, NULL, 'r'},
        {"tls", no_argument, NULL, 't'},           {"closed", required_argument, NULL, 'x'},
        {"timeout", required_argument, NULL, 'o'}, {"mark", required_argument, NULL, 'm'}, {NULL, 0, NULL, 0},
    };
    const char *bytes;
    size_t size;
    uint32_t bodies_count = 0;
    for (int option; (option = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        switch (option) {
        case 'p': address.sin_port = htons(atoi(optarg)); break;
        case 'c': count = atoi(optarg); break;
        case 'h': head = map(optarg, &head_size); break;
        case 'b': bytes = map(optarg, &size); bodies_count = split_bodies(bytes, size); break;
        case 's': schedule = (const void *)map(optarg, &size); schedule_length = size / sizeof *schedule; break;
        case 'r': results = fopen(optarg, "wb"); break;
        case 't': tls = SSL_CTX_new(TLS_client_method()); break;
        case 'x': closed_seconds = atof(optarg); break;
        case 'o': patience = atof(optarg); break;
        case 'm': mark = reserve(NULL, strlen(optarg) + 3); sprintf(mark, "\r\n%s", optarg); break;
        default: exit(2);
        }
    }
    if (!address.sin_port || count < 1 || !head || !bodies_count || !schedule_length || !results)
        fail("--port, --connections, --head, --bodies, --schedule and --results are needed");
    for (size_t i = 0; i < schedule_length; i++)
        if (schedule[i].body >= bodies_count)
            fail("the schedule asks for body %u of %u", schedule[i].body, bodies_count);
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    read_options(argc, argv);
    // The certificate is not verified: it is the host's own, and the load balancer does not verify it either.
    if (tls)
        SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    epoll = epoll_create1(0);
    connections = reserve(NULL, count * sizeof *connections);
    memset(connections, 0, count * sizeof *connections);
    double setup = now();
    for (int i = 0; i < count; i++)
        make_connection(&connections[i]);
    while (!all_idle()) {
        if (now() - setup > SETUP)
            fail("not all of the %d connections were made within %.0f seconds", count, SETUP);
        wait_for_events();
    }
    double cpu = processor_seconds();
    setup = now() - setup;
    started = now();
    running = true;
    while (!over() || busy) {
        dispatch();
        wait_for_events();
    }
    printf("{\"setup\": %.3f, \"seconds\": %.3f, \"processor_seconds\": %.3f, \"reconnects\": %d}\n", setup,
           now() - started, processor_seconds() - cpu, reconnects);
    return fclose(results) ? 1 : 0;
}
