/* Asks libmodsecurity what an operator says.
 *
 * Reads lines of an operator and its argument, a value, and whether it is the first with that argument,
 * in hexadecimal ("-" for nothing); writes a line for each: "0", "1" with the captures like
 * "0=6162", or "error". The first line names the library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

static char answer[1 << 16];

static void logged(void *data, const void *text) {
    (void)data;
    const char *line = text;
    const char *id = strstr(line, "[id \"");
    if (id == NULL)
        return;
    int number = atoi(id + 5);
    if (number == 1) {
        strcpy(answer, "1");
        return;
    }
    const char *found = strstr(line, "[data \"");
    if (found == NULL)
        return;
    found += 7;
    size_t len = strcspn(found, "\"");
    size_t used = strlen(answer);
    snprintf(answer + used, sizeof answer - used, " %d=%.*s", number - 10, (int)len, found);
}

static size_t decode(const char *hex, char *into) {
    size_t len = 0;
    if (strcmp(hex, "-") != 0) {
        for (; hex[0] && hex[1]; hex += 2) {
            char pair[3] = {hex[0], hex[1], 0};
            into[len++] = (char)strtol(pair, NULL, 16);
        }
    }
    into[len] = 0;
    return len;
}

int main(void) {
    static char line[1 << 18], op[1 << 17], value[1 << 17], rules[1 << 18];
    ModSecurity *library = msc_init();
    msc_set_log_cb(library, logged);
    printf("%s\n", msc_who_am_i(library));
    RulesSet *set = NULL;
    while (fgets(line, sizeof line, stdin)) {
        char *op_hex = strtok(line, " \n"), *value_hex = strtok(NULL, " \n"), *first = strtok(NULL, " \n");
        if (first == NULL)
            return 1;
        if (*first == '1') {
            if (set != NULL)
                msc_rules_cleanup(set);
            decode(op_hex, op);
            int used = snprintf(rules, sizeof rules,
                                "SecRuleEngine On\n"
                                "SecRule REQUEST_HEADERS:x \"@%s\" \"id:1,phase:1,pass,log,capture\"\n",
                                op);
            for (int at = 0; at < 10; at++)
                used += snprintf(rules + used, sizeof rules - used,
                                 "SecRule TX:%d \"@unconditionalMatch\" \"id:%d,phase:1,pass,log,"
                                 "t:none,t:hexEncode,logdata:'%%{MATCHED_VAR}'\"\n",
                                 at, at + 10);
            const char *error = NULL;
            set = msc_create_rules_set();
            if (msc_rules_add(set, rules, &error) < 0) {
                msc_rules_cleanup(set);
                set = NULL;
            }
        }
        if (set == NULL) {
            printf("error\n");
            continue;
        }
        size_t len = decode(value_hex, value);
        strcpy(answer, "0");
        Transaction *transaction = msc_new_transaction(library, set, NULL);
        msc_process_connection(transaction, "127.0.0.1", 1, "127.0.0.1", 80);
        msc_process_uri(transaction, "/", "GET", "1.1");
        msc_add_n_request_header(transaction, (const unsigned char *)"x", 1,
                                 (const unsigned char *)value, len);
        msc_process_request_headers(transaction);
        msc_transaction_cleanup(transaction);
        printf("%s\n", answer);
    }
    return 0;
}
