/* Asks libmodsecurity what its transformations make of strings.
 *
 *   modsecurity WORD... < strings > results
 *
 * The first line out names the library. Each line in holds one string for each WORD, in
 * hexadecimal digits, `-` if it is empty, and each line out holds their results in the same form.
 * A line is one transaction: a header for each WORD, and a rule for each header that transforms it
 * and logs what it got.
 */
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST 64

struct results {
    char *text[MOST];
};

/* The message of a rule: [id "7"] ... [msg "6162"]. */
static void logged(void *into, const void *message) {
    struct results *results = into;
    const char *id = strstr(message, "[id \"");
    const char *text = strstr(message, "[msg \"");
    int index = id ? atoi(id + 5) - 1 : -1;
    if (index < 0 || index >= MOST || !text) return;
    text += 6;
    free(results->text[index]);
    results->text[index] = strndup(text, strcspn(text, "\""));
}

static int digit(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

int main(int count, char **words) {
    ModSecurity *library = msc_init();
    RulesSet *rules = msc_create_rules_set();
    const char *error = NULL;
    struct results results = {{0}};
    char *line = NULL;
    size_t room = 0;

    if (count - 1 > MOST || msc_rules_add(rules, "SecRuleEngine On", &error) < 0) return 2;
    const char *map = getenv("UNICODE_MAP");
    if (map) {
        char directive[512];
        snprintf(directive, sizeof directive, "SecUnicodeMapFile %s 20127", map);
        if (msc_rules_add(rules, directive, &error) < 0) {
            fprintf(stderr, "%s: %s\n", map, error ? error : "refused");
            return 2;
        }
    }
    msc_set_log_cb(library, logged);
    for (int at = 1; at < count; at++) {
        char rule[512];
        snprintf(rule, sizeof rule,
            "SecRule REQUEST_HEADERS:x%d \"@unconditionalMatch\" \"id:%d,phase:1,pass,log,"
            "msg:'%%{MATCHED_VAR}',t:none,t:%s,t:hexEncode\"", at, at, words[at]);
        if (msc_rules_add(rules, rule, &error) < 0) {
            fprintf(stderr, "%s: %s\n", words[at], error ? error : "refused");
            return 2;
        }
    }
    puts(msc_who_am_i(library));

    while (getline(&line, &room, stdin) > 0) {
        Transaction *transaction = msc_new_transaction(library, rules, &results);
        char *next = line;
        msc_process_connection(transaction, "127.0.0.1", 1, "127.0.0.1", 2);
        msc_process_uri(transaction, "/", "GET", "1.1");
        for (int at = 1; at < count; at++) {
            char name[8];
            char *field = strsep(&next, " \n");
            size_t length = 0;
            int name_length = snprintf(name, sizeof name, "x%d", at);
            if (!field) return 3;
            if (strcmp(field, "-") != 0) {
                for (; field[2 * length] && field[2 * length + 1]; length++)
                    field[length] = (char)(digit(field[2 * length]) << 4 | digit(field[2 * length + 1]));
            }
            msc_add_n_request_header(transaction, (unsigned char *)name, (size_t)name_length,
                (unsigned char *)field, length);
        }
        msc_process_request_headers(transaction);
        msc_transaction_cleanup(transaction);
        for (int at = 0; at < count - 1; at++) {
            char *text = results.text[at];
            printf("%s%s", at ? " " : "", !text ? "?" : *text ? text : "-");
            free(text);
            results.text[at] = NULL;
        }
        putchar('\n');
    }
    return 0;
}
