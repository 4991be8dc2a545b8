/* The engine of ModSecurity v3 (libmodsecurity) without a server: judges one request again and again, on one
 * thread. `farmgate-load bench` compiles and starts it; `farmgate-load judge` is the same for Farmgate's engine, and
 * answers in the same words.
 *
 *   modsecurity RULES REQUEST
 *
 * RULES is a file of rules, REQUEST a file with the bytes of an HTTP/1.1 request. It then says READY and its
 * version, reads numbers from its input, one a line, judges the request for so many milliseconds of CPU time, and
 * answers with a line: RESULT {"requests":N,"cpu_us":N,"refused":true or false}. It ends with its input. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>

enum { MAX_HEADERS = 64, RESPONSE_BYTES = 1024 };

struct text {
    const char *start;
    size_t length;
};

struct request {
    char *method;
    char *target;
    struct text names[MAX_HEADERS];
    struct text values[MAX_HEADERS];
    size_t headers;
    struct text body;
};

static void fail(const char *what, const char *why) {
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

/* The whole file, with a zero behind it. */
static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) fail(path, "cannot be read");
    long size = ftell(file);
    rewind(file);
    char *bytes = size < 0 ? NULL : malloc((size_t)size + 1);
    if (bytes == NULL || fread(bytes, 1, (size_t)size, file) != (size_t)size) fail(path, "cannot be read");
    fclose(file);
    bytes[size] = '\0';
    *length = (size_t)size;
    return bytes;
}

/* Cuts the file's bytes into their parts, in place. */
static struct request parse(const char *path) {
    struct request request = {0};
    size_t length;
    char *at = read_file(path, &length);
    char *end = strstr(at, "\r\n\r\n");
    if (end == NULL) fail(path, "a head without an end");
    request.body.start = end + 4;
    request.body.length = length - (size_t)(end + 4 - at);
    end[2] = '\0';
    request.method = at;
    char *space = strchr(at, ' ');
    char *last = space == NULL ? NULL : strchr(space + 1, ' ');
    if (last == NULL) fail(path, "no request line");
    *space = *last = '\0';
    request.target = space + 1;
    for (char *line = strstr(last + 1, "\r\n") + 2; *line != '\0';) {
        char *stop = strstr(line, "\r\n");
        char *colon = strstr(line, ": ");
        if (stop == NULL || colon == NULL || colon > stop || request.headers == MAX_HEADERS)
            fail(path, "a header line that is none, or too many");
        struct text name = {line, (size_t)(colon - line)};
        struct text value = {colon + 2, (size_t)(stop - colon - 2)};
        request.names[request.headers] = name;
        request.values[request.headers++] = value;
        line = stop + 2;
    }
    return request;
}

/* What matches would be written to the server's log; the requests match nothing, or are refused. */
static void no_log(void *unused, const void *message) {
    (void)unused;
    (void)message;
}

/* Whether the rules want the request refused. */
static int refused(Transaction *transaction) {
    ModSecurityIntervention intervention = {200, 0, NULL, NULL, 0};
    int wanted = msc_intervention(transaction, &intervention);
    free(intervention.url);
    free(intervention.log);
    return wanted && intervention.disruptive;
}

static const unsigned char *bytes(const char *text) { return (const unsigned char *)text; }

/* All phases, as nginx's connector goes through them: what is refused goes to the last one. */
static int judge(ModSecurity *engine, RulesSet *rules, const struct request *request, const char *answer) {
    Transaction *transaction = msc_new_transaction(engine, rules, NULL);
    int is_refused = 0;
    msc_process_connection(transaction, "127.0.0.1", 4000, "127.0.0.1", 80);
    msc_process_uri(transaction, request->target, request->method, "1.1");
    for (size_t at = 0; at < request->headers; at++)
        msc_add_n_request_header(transaction, bytes(request->names[at].start), request->names[at].length,
                                 bytes(request->values[at].start), request->values[at].length);
    msc_process_request_headers(transaction);
    is_refused = refused(transaction);
    if (!is_refused) {
        if (request->body.length > 0)
            msc_append_request_body(transaction, bytes(request->body.start), request->body.length);
        msc_process_request_body(transaction);
        is_refused = refused(transaction);
    }
    if (!is_refused) {
        msc_add_response_header(transaction, bytes("content-type"), bytes("text/plain"));
        msc_add_response_header(transaction, bytes("content-length"), bytes("1024"));
        msc_process_response_headers(transaction, 200, "HTTP/1.1");
        is_refused = refused(transaction);
    }
    if (!is_refused) {
        msc_append_response_body(transaction, bytes(answer), RESPONSE_BYTES);
        msc_process_response_body(transaction);
        is_refused = refused(transaction);
    }
    msc_process_logging(transaction);
    msc_transaction_cleanup(transaction);
    return is_refused;
}

static double cpu_us(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) != 0) fail("clock_gettime", "no CPU time");
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

int main(int count, char **words) {
    if (count != 3) fail("modsecurity", "wants a file of rules and a file with a request");
    struct request request = parse(words[2]);
    ModSecurity *engine = msc_init();
    msc_set_log_cb(engine, no_log);
    RulesSet *rules = msc_create_rules_set();
    const char *why = "";
    if (msc_rules_add_file(rules, words[1], &why) < 0) fail(words[1], why);
    char answer[RESPONSE_BYTES];
    memset(answer, 'x', sizeof answer);
    printf("READY libmodsecurity %s\n", MODSECURITY_VERSION);
    fflush(stdout);
    char line[32];
    while (fgets(line, sizeof line, stdin) != NULL) {
        double limit = atof(line) * 1e3, begin = cpu_us(), spent;
        unsigned long requests = 0, batch = 1;
        int is_refused = 0;
        /* The clock costs too: where requests are cheap it is read after many of them. */
        do {
            double before = cpu_us();
            for (unsigned long at = 0; at < batch; at++) is_refused |= judge(engine, rules, &request, answer);
            requests += batch;
            spent = cpu_us() - begin;
            if (cpu_us() - before < 1e3) batch *= 2;
        } while (spent < limit);
        printf("RESULT {\"requests\":%lu,\"cpu_us\":%.0f,\"refused\":%s}\n", requests, spent,
               is_refused ? "true" : "false");
        fflush(stdout);
    }
    msc_rules_cleanup(rules);
    msc_cleanup(engine);
    return 0;
}
