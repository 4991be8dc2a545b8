// Asks libmodsecurity what it makes of bodies, query strings and cookies.
//
// Standard input: cases, each a letter (B body, Q query string, C cookie), two lengths (four bytes, most
// significant first), a content type and the bytes. Standard output: what the variables hold, in hex, one
// line each, sorted by nothing; a line with a dot ends a case.
#include <modsecurity/modsecurity.h>
#include <modsecurity/rule_message.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

using modsecurity::Transaction;
using modsecurity::VariableValue;

static std::string hex(const std::string &bytes) {
    static const char digits[] = "0123456789abcdef";
    std::string out = "x";
    for (unsigned char byte : bytes) {
        out += digits[byte >> 4];
        out += digits[byte & 15];
    }
    return out;
}

template <class Collection>
static void many(const char *word, Collection &collection) {
    std::vector<const VariableValue *> values;
    collection.resolve(&values);
    for (const VariableValue *value : values) {
        std::printf("%s %s %s\n", word, hex(value->getKey()).c_str(), hex(value->getValue()).c_str());
        delete value;
    }
}

template <class Variable>
static void one(const char *word, Variable &variable) {
    std::printf("%s %s\n", word, variable.m_value.empty() ? "-" : variable.m_value.c_str());
}

static std::string data_of(const modsecurity::RuleMessage *message) { return message->m_data; }

static void log(void *, const void *message) {
    const auto *rule = static_cast<const modsecurity::RuleMessage *>(message);
    std::printf("%s %s\n", rule->m_ruleId == 1 ? "XML" : "XMLATTR", ("x" + data_of(rule)).c_str());
}

static bool number(uint32_t *out) {
    unsigned char bytes[4];
    if (std::fread(bytes, 1, 4, stdin) != 4) return false;
    *out = uint32_t(bytes[0]) << 24 | uint32_t(bytes[1]) << 16 | uint32_t(bytes[2]) << 8 | bytes[3];
    return true;
}

static bool bytes(std::string *out, uint32_t count) {
    out->resize(count);
    return std::fread(&(*out)[0], 1, count, stdin) == count;
}

int main() {
    modsecurity::ModSecurity engine;
    engine.setServerLogCb(log, modsecurity::RuleMessageLogProperty);
    modsecurity::RulesSet rules;
    const char *text =
        "SecRuleEngine On\nSecRequestBodyAccess On\nSecRequestBodyLimit 1000000000\n"
        "SecRequestBodyNoFilesLimit 1000000000\nSecTmpDir /tmp\n"
        "SecRequestBodyJsonDepthLimit 512\n"
        "SecRule REQUEST_HEADERS:Content-Type \"xml\" \"id:10,phase:1,pass,nolog,ctl:requestBodyProcessor=XML\"\n"
        "SecRule REQUEST_HEADERS:Content-Type \"json\" \"id:11,phase:1,pass,nolog,ctl:requestBodyProcessor=JSON\"\n"
        "SecRule XML:/* \"@unconditionalMatch\" \"id:1,phase:2,pass,log,t:hexEncode,logdata:'%{MATCHED_VAR}'\"\n"
        "SecRule XML://@* \"@unconditionalMatch\" \"id:2,phase:2,pass,log,t:hexEncode,logdata:'%{MATCHED_VAR}'\"\n";
    if (rules.load(text) < 0) {
        std::fprintf(stderr, "%s\n", rules.getParserError().c_str());
        return 1;
    }
    std::printf("%s\n.\n", engine.whoAmI().c_str());
    int kind;
    while ((kind = std::getchar()) != EOF) {
        uint32_t type_bytes, body_bytes;
        std::string type, body;
        if (!number(&type_bytes) || !number(&body_bytes) || !bytes(&type, type_bytes) || !bytes(&body, body_bytes)) {
            return 2;
        }
        Transaction t(&engine, &rules, nullptr);
        t.processConnection("127.0.0.1", 1, "127.0.0.1", 80);
        std::string target = kind == 'Q' ? "/?" + body : "/";
        t.processURI(target.c_str(), "POST", "1.1");
        if (kind == 'C') t.addRequestHeader(std::string("Cookie"), body);
        if (kind == 'B') t.addRequestHeader(std::string("Content-Type"), type);
        t.processRequestHeaders();
        if (kind == 'B') t.appendRequestBody(reinterpret_cast<const unsigned char *>(body.data()), body.size());
        t.processRequestBody();
        many("ARGS_GET", t.m_variableArgsGet);
        many("ARGS_POST", t.m_variableArgsPost);
        if (kind == 'B' && type.find("json") != std::string::npos) many("ARGS", t.m_variableArgs);
        many("COOKIE", t.m_variableRequestCookies);
        many("PART_HEADER", t.m_variableMultipartPartHeaders);
        many("NAME", t.m_variableMultipartName);
        many("FILENAME", t.m_variableMultipartFileName);
        many("FILES", t.m_variableFiles);
        many("FILES_NAMES", t.m_variableFilesNames);
        many("FILES_SIZES", t.m_variableFilesSizes);
        one("FILES_COMBINED_SIZE", t.m_variableFilesCombinedSize);
        one("URLENCODED_ERROR", t.m_variableUrlEncodedError);
        one("REQBODY_ERROR", t.m_variableReqbodyError);
        std::printf("REQBODY_ERROR_MSG %s\n", hex(t.m_variableReqbodyErrorMsg.m_value).c_str());
        one("REQBODY_PROCESSOR", t.m_variableReqbodyProcessor);
        one("STRICT_ERROR", t.m_variableMultipartStrictError);
        one("UNMATCHED_BOUNDARY", t.m_variableMultipartUnmatchedBoundary);
        one("BOUNDARY_QUOTED", t.m_variableMultipartBoundaryQuoted);
        one("BOUNDARY_WHITESPACE", t.m_variableMultipartBoundaryWhiteSpace);
        one("DATA_BEFORE", t.m_variableMultipartDataBefore);
        one("DATA_AFTER", t.m_variableMultipartDataAfter);
        one("HEADER_FOLDING", t.m_variableMultipartHeaderFolding);
        one("INVALID_HEADER_FOLDING", t.m_variableMultipartInvalidHeaderFolding);
        one("LF_LINE", t.m_variableMultipartLFLine);
        one("CRLF_LF_LINES", t.m_variableMultipartCrlfLFLines);
        one("MISSING_SEMICOLON", t.m_variableMultipartMissingSemicolon);
        one("INVALID_QUOTING", t.m_variableMultipartInvalidQuoting);
        one("INVALID_PART", t.m_variableMultipartInvalidPart);
        std::printf(".\n");
    }
    return 0;
}
