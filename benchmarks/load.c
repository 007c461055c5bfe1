/* A load generator for Docker plugins on UNIX sockets: one thread, epoll, keep-alive.
 *
 *   load --socket PATH [--seconds S] [--pid PID]... FLOW [FLOW]...
 *   FLOW: --flow NAME --call CALL [--message TEXT] [--expect TEXT]... [--connections N]
 *         [--warm N] [--count N] [--first N] [--wrap N]
 *
 * A flow is a number of connections, each with one request outstanding, that make one call.
 * "@" in the message and in what is expected stands for the request's number, six digits, from
 * --first on and, with --wrap, modulo that many. The bytes are those of a Docker Engine.
 *
 * Every answer is checked: status 200, the whole body by its Content-Length and nothing behind
 * it, and every expected text in it ("Err":"" if none is given). Of a body over 64 KiB, the first
 * and last 4 KiB are searched: the generator must not be the bottleneck.
 *
 * Measured is what begins once each flow has had its --warm answers. The run ends when each flow
 * with a --count has that many, or after --seconds of measuring. One line of JSON is printed:
 * seconds, the CPU seconds that the processes --pid (cpu) and the generator used meanwhile, and for each flow sent
 * (all requests), count (the measured answers), errors, the first error, and p50, p90, p99 and
 * max in microseconds. Exit 1 on any error.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FLOWS = 8, EXPECTS = 4, PIDS = 64, HEAD = 4096, PART = 4096, LARGE = 65536 };

struct flow {
    const char *name, *call, *message, *expects[EXPECTS];
    size_t expected;
    long connections, warm, count, first, wrap;
    long sent, answered, begun, errors; /* begun: measured requests that were sent */
    uint64_t *took;                     /* of each measured answer, in ns */
    size_t measured, room;
    char error[256];
};

struct connection {
    struct flow *flow;
    int fd;
    int measured;
    long number;
    uint64_t sent;
    char *data;
    size_t length, room, whole; /* whole: of the answer, 0 until its head has been read */
    size_t body;
};

static struct flow flows[FLOWS];
static int flow_count, pid_count, measuring, ending;
static pid_t pids[PIDS];
static uint64_t began, ended, limit, cpu, own;

static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("load: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(2);
}

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec now;
    if (clock_gettime(clock, &now))
        die("clock: %s", strerror(errno));
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* The CPU time of all threads of the processes, those that have ended too. */
static uint64_t used(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < pid_count; i++) {
        clockid_t clock;
        if (clock_getcpuclockid(pids[i], &clock))
            die("process %d is not there", (int)pids[i]);
        sum += nanoseconds(clock);
    }
    return sum;
}

/* Take the CPU times at the begin of the measured part, and their differences at its end. */
static void account(void)
{
    cpu = used() - cpu;
    own = nanoseconds(CLOCK_PROCESS_CPUTIME_ID) - own;
}

static void *grown(void *data, size_t size)
{
    data = realloc(data, size);
    if (!data)
        die("out of memory");
    return data;
}

static void fail(struct connection *connection, const char *format, ...)
{
    struct flow *flow = connection->flow;
    va_list arguments;
    if (flow->errors++)
        return;
    va_start(arguments, format);
    vsnprintf(flow->error, sizeof flow->error, format, arguments);
    va_end(arguments);
}

/* Write the text with the number in place of each "@"; return its length. */
static size_t fill(char *into, size_t room, const char *text, long number)
{
    size_t length = 0;
    for (; *text; text++) {
        if (length + 24 > room)
            die("the message is too long");
        if (*text == '@')
            length += (size_t)sprintf(into + length, "%06ld", number);
        else
            into[length++] = *text;
    }
    into[length] = 0;
    return length;
}

static int over(void)
{
    int counted = 0;
    for (int i = 0; i < flow_count; i++) {
        if (flows[i].count && (long)flows[i].measured + flows[i].errors < flows[i].count)
            return 0;
        counted += flows[i].count != 0;
    }
    return counted > 0;
}

static void send_request(struct connection *connection)
{
    static char body[HEAD], request[2 * HEAD];
    struct flow *flow = connection->flow;
    size_t length = 0;
    int total;

    if (ending || (measuring && flow->count && flow->begun == flow->count))
        return;
    connection->number = flow->first + (flow->wrap ? flow->sent % flow->wrap : flow->sent);
    flow->sent++;
    connection->measured = measuring;
    flow->begun += measuring;
    if (flow->message) {
        length = fill(body, sizeof body - 1, flow->message, connection->number);
        body[length++] = '\n';
    }
    total = snprintf(request, sizeof request,
                     "POST /%s HTTP/1.1\r\nHost: \r\nUser-Agent: Go-http-client/1.1\r\n"
                     "Content-Length: %zu\r\n"
                     "Accept: application/vnd.docker.plugins.v1.2+json\r\n\r\n%.*s",
                     flow->call, length, (int)length, body);
    connection->length = connection->whole = 0;
    connection->sent = nanoseconds(CLOCK_MONOTONIC);
    if (send(connection->fd, request, (size_t)total, MSG_NOSIGNAL) != total)
        die("%s: sending: %s", flow->call, strerror(errno));
}

/* Read the head, once it is there: find the body and how long it is. */
static void read_head(struct connection *connection)
{
    char *end = memmem(connection->data, connection->length, "\r\n\r\n", 4), *at;
    if (!end)
        return;
    *end = 0;
    connection->body = (size_t)(end - connection->data) + 4;
    at = strcasestr(connection->data, "\r\ncontent-length:");
    if (!at)
        die("%s: an answer without Content-Length", connection->flow->call);
    connection->whole = connection->body + strtoul(at + 17, NULL, 10);
}

static void check(struct connection *connection)
{
    struct flow *flow = connection->flow;
    const char *body = connection->data + connection->body;
    size_t length = connection->whole - connection->body;
    int large = length > LARGE;
    char text[HEAD];

    if (connection->length != connection->whole) {
        fail(connection, "%zu bytes behind an answer", connection->length - connection->whole);
        return;
    }
    if (strncmp(connection->data, "HTTP/1.1 200 ", 13)) {
        fail(connection, "%.20s: %.*s", connection->data, (int)(large ? PART : length), body);
        return;
    }
    for (size_t i = 0; i < flow->expected; i++) {
        size_t size = fill(text, sizeof text, flow->expects[i], connection->number);
        if (!memmem(body, large ? PART : length, text, size) &&
            !(large && memmem(body + length - PART, PART, text, size))) {
            fail(connection, "no %s in %.*s", text, (int)(large ? 100 : length), body);
            return;
        }
    }
    if (connection->measured && !ending) {
        if (flow->measured == flow->room) {
            flow->room = flow->room ? 2 * flow->room : 65536;
            flow->took = grown(flow->took, flow->room * sizeof *flow->took);
        }
        flow->took[flow->measured++] = ended - connection->sent;
    }
}

static void begin(void)
{
    for (int i = 0; i < flow_count; i++)
        if (flows[i].answered < flows[i].warm)
            return;
    measuring = 1;
    began = nanoseconds(CLOCK_MONOTONIC);
}

static void receive(struct connection *connection)
{
    ssize_t got;
    if (connection->length + LARGE + 1 > connection->room) {
        connection->room = 2 * connection->room + LARGE + 1;
        connection->data = grown(connection->data, connection->room);
    }
    got = recv(connection->fd, connection->data + connection->length,
               connection->room - connection->length - 1, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        die("%s: the connection was closed: %s", connection->flow->call,
            got ? strerror(errno) : "end of file");
    connection->length += (size_t)got;
    connection->data[connection->length] = 0;
    if (!connection->whole)
        read_head(connection);
    if (!connection->whole || connection->length < connection->whole)
        return;
    if (!ending)
        ended = nanoseconds(CLOCK_MONOTONIC);
    connection->flow->answered++;
    check(connection);
    if (measuring && (over() || (limit && ended - began >= limit)))
        ending = 1;
    connection->sent = 0;
}

static int dial(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (strlen(path) >= sizeof address.sun_path)
        die("%s: the path is too long for a socket", path);
    strcpy(address.sun_path, path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address))
        die("%s: %s", path, strerror(errno));
    return fd;
}

static int by_size(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static double share(const struct flow *flow, double part)
{
    if (!flow->measured)
        return 0;
    return (double)flow->took[(size_t)(part * (double)(flow->measured - 1) + 0.5)] / 1000;
}

static void print_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar((unsigned char)*text < ' ' || (unsigned char)*text > '~' ? ' ' : *text);
    }
    putchar('"');
}

static void report(void)
{
    printf("{\"seconds\":%.6f,\"cpu\":%.6f,\"generator\":%.6f,\"flows\":{",
           (double)(ended - began) / 1e9, (double)cpu / 1e9, (double)own / 1e9);
    for (int i = 0; i < flow_count; i++) {
        struct flow *flow = &flows[i];
        qsort(flow->took, flow->measured, sizeof *flow->took, by_size);
        printf("%s\"%s\":{\"sent\":%ld,\"count\":%zu,\"errors\":%ld,\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,"
               "\"max\":%.1f,\"error\":",
               i ? "," : "", flow->name, flow->sent, flow->measured, flow->errors, share(flow, 0.5),
               share(flow, 0.9), share(flow, 0.99), share(flow, 1));
        print_text(flow->error);
        putchar('}');
    }
    puts("}}");
}

static const char *parse(int count, char **words)
{
    const char *path = NULL;
    struct flow *flow = NULL;
    for (int i = 1; i < count; i += 2) {
        const char *option = words[i], *value = words[i + 1];
        if (!value)
            die("%s: its value is missing", option);
        if (!strcmp(option, "--socket"))
            path = value;
        else if (!strcmp(option, "--seconds"))
            limit = (uint64_t)(atof(value) * 1e9);
        else if (!strcmp(option, "--pid") && pid_count < PIDS)
            pids[pid_count++] = (pid_t)atol(value);
        else if (!strcmp(option, "--flow") && flow_count < FLOWS) {
            flow = &flows[flow_count++];
            flow->name = value;
            flow->connections = 1;
        } else if (!flow)
            die("%s: it is not known, or comes before any --flow", option);
        else if (!strcmp(option, "--call"))
            flow->call = value;
        else if (!strcmp(option, "--message"))
            flow->message = value;
        else if (!strcmp(option, "--expect") && flow->expected < EXPECTS)
            flow->expects[flow->expected++] = value;
        else if (!strcmp(option, "--connections"))
            flow->connections = atol(value);
        else if (!strcmp(option, "--warm"))
            flow->warm = atol(value);
        else if (!strcmp(option, "--count"))
            flow->count = atol(value);
        else if (!strcmp(option, "--first"))
            flow->first = atol(value);
        else if (!strcmp(option, "--wrap"))
            flow->wrap = atol(value);
        else
            die("%s: it is not known, or given too often", option);
    }
    if (!path || !flow_count)
        die("give --socket and at least one --flow");
    for (int i = 0; i < flow_count; i++) {
        limit = limit || flows[i].count ? limit : 1000000000u;
        if (!flows[i].call)
            die("flow %s has no --call", flows[i].name);
        if (!flows[i].expected)
            flows[i].expects[flows[i].expected++] = "\"Err\":\"\"";
    }
    return path;
}

int main(int count, char **words)
{
    const char *path = parse(count, words);
    struct connection *connections = NULL;
    struct epoll_event events[64];
    int total = 0, epoll = epoll_create1(0), open;

    for (int i = 0; i < flow_count; i++)
        total += (int)flows[i].connections;
    connections = calloc((size_t)total, sizeof *connections);
    if (!connections)
        die("out of memory");
    for (int i = 0, at = 0; i < flow_count; i++)
        for (long n = 0; n < flows[i].connections; n++, at++) {
            struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[at]};
            connections[at].flow = &flows[i];
            connections[at].fd = dial(path);
            if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[at].fd, &event))
                die("epoll: %s", strerror(errno));
        }
    begin();
    if (measuring)
        account();
    for (int i = 0; i < total; i++)
        send_request(&connections[i]);
    do {
        int ready = epoll_wait(epoll, events, 64, 60000);
        if (ready == 0)
            die("no answer for 60 s");
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            receive(connection);
            if (connection->sent)
                continue;
            if (!measuring) {
                begin();
                if (measuring)
                    account();
            }
            if (ending == 1) {
                account();
                ending = 2;
            }
            send_request(connection);
        }
        open = 0;
        for (int i = 0; i < total; i++)
            open += connections[i].sent != 0;
    } while (open);
    if (!ending)
        account();
    report();
    for (int i = 0; i < flow_count; i++)
        if (flows[i].errors)
            return 1;
    return 0;
}
