/*
 * Request heads: our own search for the end and our own strict judgement, libhttp-parser's splitting in between.
 *
 * libhttp-parser takes more than we want to (bare LF, folded lines, several spaces, unknown versions), so the request
 * line and the line structure are checked before it runs and the headers' meaning after.
 */
#include "worker/http/parse.h"

#include <errno.h>
#include <http_parser.h>
#include <string.h>

#define HEAD_BYTES_DEFAULT 16384u
#define TARGET_BYTES_DEFAULT 8192u
#define HEADERS_DEFAULT 100u
#define METHOD_BYTES_MAX 32u
/* What a request line has beside its target: method, two spaces, version. */
#define LINE_OVERHEAD_BYTES (METHOD_BYTES_MAX + 2 + 8)

struct bounds {
    size_t head_bytes;
    size_t target_bytes;
    uint32_t headers;
};

struct request_line {
    struct rc_http_view method;
    struct rc_http_view target;
    enum rc_http_version version;
};

static int parse_refuse(const char **why, int status, const char *sentence)
{
    *why = sentence;
    return -status;
}

static uint32_t parse_bound(uint32_t given, uint32_t otherwise, uint32_t most)
{
    uint32_t value = given == 0 ? otherwise : given;
    return value < most ? value : most;
}

/* RFC 9110 5.6.2. */
static bool is_token_byte(uint8_t byte)
{
    static const bool token[256] = {
        ['0' ... '9'] = true, ['A' ... 'Z'] = true, ['a' ... 'z'] = true, ['!'] = true, ['#'] = true, ['$'] = true,
        ['%'] = true,         ['&'] = true,         ['\''] = true,        ['*'] = true, ['+'] = true, ['-'] = true,
        ['.'] = true,         ['^'] = true,         ['_'] = true,         ['`'] = true, ['|'] = true, ['~'] = true,
    };
    return token[byte];
}

bool rc_http_view_is_token(struct rc_http_view view)
{
    for (size_t i = 0; i < view.bytes; i++) {
        if (!is_token_byte((uint8_t)view.text[i])) {
            return false;
        }
    }
    return view.bytes != 0;
}

static inline uint8_t parse_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : (uint8_t)c;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    uint8_t letter = parse_lower(c);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

static bool same_nocase(const char *a, const char *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (parse_lower(a[i]) != parse_lower(b[i])) {
            return false;
        }
    }
    return true;
}

bool rc_http_view_equals_nocase(struct rc_http_view view, const char *text)
{
    return strlen(text) == view.bytes && same_nocase(view.text, text, view.bytes);
}

bool rc_http_view_equals(struct rc_http_view view, const char *text)
{
    return strlen(text) == view.bytes && (view.bytes == 0 || memcmp(view.text, text, view.bytes) == 0);
}

struct rc_http_view rc_http_view_trimmed(struct rc_http_view view)
{
    while (view.bytes > 0 && (view.text[0] == ' ' || view.text[0] == '\t')) {
        view.text++;
        view.bytes--;
    }
    while (view.bytes > 0 && (view.text[view.bytes - 1] == ' ' || view.text[view.bytes - 1] == '\t')) {
        view.bytes--;
    }
    return view;
}

/* --- the request line --------------------------------------------------------------------------------------------- */

/* "HTTP/1.0" and so on: the version, or the status that refuses it. */
static int parse_version(const char *text, size_t n, const char **why)
{
    if (n != 8 || memcmp(text, "HTTP/", 5) != 0 || text[6] != '.' || text[5] < '0' || text[5] > '9' || text[7] < '0' ||
        text[7] > '9') {
        return parse_refuse(why, 400, "malformed HTTP version");
    }
    if (text[5] != '1') {
        return parse_refuse(why, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here");
    }
    return text[7] == '0' ? RC_HTTP_1_0 : RC_HTTP_1_1;
}

/* A request line without its CRLF. 0 or the negated status. */
static int parse_line(const char *line, size_t n, const struct bounds *bounds, struct request_line *out,
                      const char **why)
{
    const char *end = line + n;
    const char *space = memchr(line, ' ', n);

    if (space == NULL) {
        return parse_refuse(why, 400, "malformed request line");
    }
    out->method = (struct rc_http_view){line, (size_t)(space - line)};
    if (!rc_http_view_is_token(out->method)) {
        return parse_refuse(why, 400, "malformed method");
    }
    if (out->method.bytes > METHOD_BYTES_MAX) {
        return parse_refuse(why, 501, "unknown method");
    }

    const char *target = space + 1;
    space = memchr(target, ' ', (size_t)(end - target));
    out->target = (struct rc_http_view){target, (size_t)((space == NULL ? end : space) - target)};
    if (out->target.bytes == 0) {
        return parse_refuse(why, 400, "empty request target");
    }
    if (out->target.bytes > bounds->target_bytes) {
        return parse_refuse(why, 414, "request target too long");
    }
    for (size_t i = 0; i < out->target.bytes; i++) {
        if (target[i] <= 0x20 || target[i] >= 0x7F || target[i] == '#') {
            return parse_refuse(why, 400, "invalid character in the request target");
        }
    }

    if (space == NULL) {
        if (!rc_http_view_equals(out->method, "GET") || target[0] != '/') {
            return parse_refuse(why, 400, "malformed request line");
        }
        out->version = RC_HTTP_0_9;
        return 0;
    }
    int version = parse_version(space + 1, (size_t)(end - space - 1), why);
    if (version < 0) {
        return version;
    }
    if (rc_http_view_equals(out->method, "CONNECT")) {
        return parse_refuse(why, 501, "this is not a proxy");
    }
    out->version = (enum rc_http_version)version;
    return 0;
}

/*
 * The bytes of the head, 0 when its end has not come, or the negated status. `*scanned` is twice the offset up to which
 * line ends were looked for, plus 1 once the request line was seen to be sound. Every byte is looked at in its order,
 * so the outcome does not depend on how the bytes were cut.
 */
static int find_end(const uint8_t *bytes, size_t n, size_t start, size_t *scanned, const struct bounds *bounds,
                    const char **why)
{
    size_t at = *scanned >> 1;
    bool line_seen = *scanned & 1;
    size_t end = n < bounds->head_bytes ? n : bounds->head_bytes;
    size_t line_bytes_max = bounds->target_bytes + LINE_OVERHEAD_BYTES;

    if (at < start) {
        at = start;
    }
    while (at < end) {
        const uint8_t *found = memchr(bytes + at, '\n', end - at);
        if (found == NULL) {
            break;
        }
        size_t feed = (size_t)(found - bytes);
        if (!line_seen && feed - start > line_bytes_max) {
            return parse_refuse(why, 414, "request line too long");
        }
        if (feed == start || bytes[feed - 1] != '\r') {
            return parse_refuse(why, 400, "line ends without CR");
        }
        if (!line_seen) {
            struct request_line line;
            int error = parse_line((const char *)bytes + start, feed - 1 - start, bounds, &line, why);
            if (error < 0) {
                return error;
            }
            line_seen = true;
            if (line.version == RC_HTTP_0_9) {
                return (int)(feed + 1);
            }
        } else if (bytes[feed - 2] == '\n') {
            return (int)(feed + 1);
        }
        at = feed + 1;
    }
    if (!line_seen && end > start + line_bytes_max) {
        return parse_refuse(why, 414, "request line too long");
    }
    if (end == bounds->head_bytes) {
        return parse_refuse(why, 431, "request head too long");
    }
    *scanned = end << 1 | (line_seen ? 1 : 0);
    return 0;
}

/* --- headers ------------------------------------------------------------------------------------------------------ */

/*
 * No control characters but the CRs that precede the LFs (whose every CR was checked before), and no folded lines.
 * Counting instead of branching lets the compiler vectorise it.
 */
static bool text_is_clean(const uint8_t *bytes, size_t n)
{
    size_t controls = 0, feeds = 0, returns = 0, folds = 0;

    for (size_t i = 0; i < n; i++) {
        uint8_t byte = bytes[i];
        controls += (byte < 0x20 && byte != '\t') | (byte == 0x7F);
        feeds += byte == '\n';
        returns += byte == '\r';
    }
    for (size_t i = 1; i < n; i++) {
        folds += (bytes[i - 1] == '\n') & ((bytes[i] == ' ') | (bytes[i] == '\t'));
    }
    return controls == feeds + returns && feeds == returns && folds == 0;
}

/* What the callbacks below fill in. */
struct collection {
    struct rc_http_request *request;
    uint32_t headers_max;
    bool value_seen; /* of the last header */
    bool too_many;
    bool complete;
};

static int on_name(http_parser *parser, const char *text, size_t n)
{
    struct collection *collection = parser->data;
    struct rc_http_request *request = collection->request;

    if (request->header_count == collection->headers_max) {
        collection->too_many = true;
        return 1;
    }
    struct rc_http_header *header = &request->headers[request->header_count++];
    header->name = (struct rc_http_view){text, n};
    header->value = (struct rc_http_view){text + n, 0};
    collection->value_seen = false;
    return rc_http_view_is_token(header->name) ? 0 : 1;
}

static int on_value(http_parser *parser, const char *text, size_t n)
{
    struct collection *collection = parser->data;
    struct rc_http_request *request = collection->request;

    /* One piece of head gives one call per value; a second one would be a folded line. */
    if (request->header_count == 0 || collection->value_seen) {
        return 1;
    }
    collection->value_seen = true;
    request->headers[request->header_count - 1].value = rc_http_view_trimmed((struct rc_http_view){text, n});
    return 0;
}

/* Stops the parser here: what a body is, and whether there is one, is judged below and not by the library. */
static int on_complete(http_parser *parser)
{
    struct collection *collection = parser->data;
    collection->complete = true;
    return -1;
}

static enum rc_http_method method_of(unsigned method)
{
    switch (method) {
    case HTTP_GET:
        return RC_HTTP_GET;
    case HTTP_HEAD:
        return RC_HTTP_HEAD;
    case HTTP_POST:
        return RC_HTTP_POST;
    case HTTP_PUT:
        return RC_HTTP_PUT;
    case HTTP_DELETE:
        return RC_HTTP_DELETE;
    case HTTP_PATCH:
        return RC_HTTP_PATCH;
    case HTTP_OPTIONS:
        return RC_HTTP_OPTIONS;
    default:
        return RC_HTTP_METHOD_OTHER;
    }
}

static int split_head(const uint8_t *head, size_t n, const struct bounds *bounds, struct rc_http_request *out,
                      const char **why)
{
    static const http_parser_settings settings = {
        .on_header_field = on_name, .on_header_value = on_value, .on_headers_complete = on_complete};
    struct collection collection = {.request = out, .headers_max = bounds->headers};
    http_parser parser;

    if (!text_is_clean(head, n)) {
        return parse_refuse(why, 400, "control character or folded line in the head");
    }
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &collection;
    http_parser_execute(&parser, &settings, (const char *)head, n);
    if (collection.too_many) {
        return parse_refuse(why, 431, "too many headers");
    }
    if (HTTP_PARSER_ERRNO(&parser) == HPE_INVALID_METHOD) {
        return parse_refuse(why, 501, "unknown method");
    }
    if (!collection.complete) {
        return parse_refuse(why, 400, "malformed request head");
    }
    out->method = method_of(parser.method);
    return 0;
}

const struct rc_http_view *rc_http_header_next(const struct rc_http_request *request, const char *name, uint32_t *index)
{
    size_t name_bytes = strlen(name);
    while (*index < request->header_count) {
        const struct rc_http_header *header = &request->headers[(*index)++];
        if (header->name.bytes == name_bytes && same_nocase(header->name.text, name, name_bytes)) {
            return &header->value;
        }
    }
    return NULL;
}

const struct rc_http_view *rc_http_header(const struct rc_http_request *request, const char *name)
{
    uint32_t index = 0;
    return rc_http_header_next(request, name, &index);
}

bool rc_http_list_next(struct rc_http_view *list, struct rc_http_view *element)
{
    while (list->bytes > 0) {
        size_t end = 0;
        bool quoted = false;
        while (end < list->bytes && (quoted || list->text[end] != ',')) {
            if (list->text[end] == '"') {
                quoted = !quoted;
            } else if (quoted && list->text[end] == '\\' && end + 1 < list->bytes) {
                end++;
            }
            end++;
        }
        *element = rc_http_view_trimmed((struct rc_http_view){list->text, end});
        size_t taken = end < list->bytes ? end + 1 : end;
        list->text += taken;
        list->bytes -= taken;
        if (element->bytes != 0) {
            return true;
        }
    }
    return false;
}

bool rc_http_header_has_token(const struct rc_http_request *request, const char *name, const char *token)
{
    uint32_t index = 0;
    const struct rc_http_view *value;
    while ((value = rc_http_header_next(request, name, &index)) != NULL) {
        struct rc_http_view list = *value, element;
        while (rc_http_list_next(&list, &element)) {
            if (rc_http_view_equals_nocase(element, token)) {
                return true;
            }
        }
    }
    return false;
}

/* --- what the request means --------------------------------------------------------------------------------------- */

/* RFC 9110 7.2: a name or address, perhaps in brackets, perhaps with a port. Commas would be two hosts in one. */
static bool host_is_sound(struct rc_http_view host)
{
    size_t i = 0;
    if (host.bytes != 0 && host.text[0] == '[') {
        for (i = 1; i < host.bytes && host.text[i] != ']'; i++) {
            if (hex_value(host.text[i]) < 0 && host.text[i] != ':' && host.text[i] != '.') {
                return false;
            }
        }
        if (i == host.bytes || i++ == 1) {
            return false;
        }
    } else {
        for (; i < host.bytes && host.text[i] != ':'; i++) {
            if (!(parse_lower(host.text[i]) >= 'a' && parse_lower(host.text[i]) <= 'z') &&
                strchr("0123456789-._~!$&'()*+;=%", host.text[i]) == NULL) {
                return false;
            }
        }
        if (i == 0) {
            return false;
        }
    }
    if (i < host.bytes && host.text[i++] != ':') {
        return false;
    }
    for (; i < host.bytes; i++) {
        if (host.text[i] < '0' || host.text[i] > '9') {
            return false;
        }
    }
    return true;
}

/* Path and query of origin form, absolute form and asterisk form (RFC 9112 3.2). */
static int judge_target(struct rc_http_request *out, const char **why)
{
    struct rc_http_view rest = out->target;

    if (rest.text[0] != '/') {
        static const char *const schemes[] = {"http://", "https://", "ws://", "wss://"};
        size_t scheme_bytes = 0;
        if (rc_http_view_equals(rest, "*") && out->method == RC_HTTP_OPTIONS) {
            out->path = rest;
            out->query = (struct rc_http_view){rest.text + 1, 0};
            return 0;
        }
        for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]) && scheme_bytes == 0; i++) {
            if (rest.bytes > strlen(schemes[i]) && same_nocase(rest.text, schemes[i], strlen(schemes[i]))) {
                scheme_bytes = strlen(schemes[i]);
            }
        }
        if (scheme_bytes == 0) {
            return parse_refuse(why, 400, "request target is neither a path nor an absolute URI");
        }
        rest.text += scheme_bytes;
        rest.bytes -= scheme_bytes;
        size_t host_bytes = 0;
        while (host_bytes < rest.bytes && rest.text[host_bytes] != '/' && rest.text[host_bytes] != '?') {
            host_bytes++;
        }
        out->host = (struct rc_http_view){rest.text, host_bytes};
        if (!host_is_sound(out->host)) {
            return parse_refuse(why, 400, "malformed authority in the request target");
        }
        rest.text += host_bytes;
        rest.bytes -= host_bytes;
    }
    const char *mark = rest.bytes == 0 ? NULL : memchr(rest.text, '?', rest.bytes);
    out->path = (struct rc_http_view){rest.text, mark == NULL ? rest.bytes : (size_t)(mark - rest.text)};
    out->query = mark == NULL ? (struct rc_http_view){rest.text + rest.bytes, 0}
                              : (struct rc_http_view){mark + 1, rest.bytes - out->path.bytes - 1};
    if (out->path.bytes == 0) {
        out->path = (struct rc_http_view){"/", 1};
    }
    return 0;
}

static int judge_host(struct rc_http_request *out, const char **why)
{
    uint32_t index = 0;
    const struct rc_http_view *host = rc_http_header_next(out, "host", &index);

    if (host == NULL) {
        return out->version == RC_HTTP_1_1 ? parse_refuse(why, 400, "no Host header") : 0;
    }
    if (rc_http_header_next(out, "host", &index) != NULL) {
        return parse_refuse(why, 400, "more than one Host header");
    }
    if (!host_is_sound(*host)) {
        return parse_refuse(why, 400, "malformed Host header");
    }
    /* The absolute form's authority wins (RFC 9112 3.2.2). */
    if (out->host.bytes == 0) {
        out->host = *host;
    }
    return 0;
}

static bool parse_decimal(struct rc_http_view view, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < view.bytes; i++) {
        uint64_t digit = (uint64_t)(uint8_t)view.text[i] - '0';
        if (digit > 9 || *out > (UINT64_MAX - digit) / 10) {
            return false;
        }
        *out = *out * 10 + digit;
    }
    return view.bytes != 0;
}

/* How long the body is (RFC 9112 6). Anything that two parsers could disagree on is refused. */
static int judge_framing(struct rc_http_request *out, const char **why)
{
    uint32_t index = 0;
    const struct rc_http_view *coding = rc_http_header_next(out, "transfer-encoding", &index);
    bool second_coding = coding != NULL && rc_http_header_next(out, "transfer-encoding", &index) != NULL;
    index = 0;
    const struct rc_http_view *length = rc_http_header_next(out, "content-length", &index);

    if (length != NULL) {
        if (rc_http_header_next(out, "content-length", &index) != NULL) {
            return parse_refuse(why, 400, "more than one Content-Length");
        }
        if (coding != NULL) {
            return parse_refuse(why, 400, "both Content-Length and Transfer-Encoding");
        }
        if (!parse_decimal(*length, &out->content_length)) {
            return parse_refuse(why, 400, "malformed Content-Length");
        }
        out->has_content_length = true;
    }
    if (coding != NULL) {
        if (out->version != RC_HTTP_1_1) {
            return parse_refuse(why, 400, "Transfer-Encoding before HTTP/1.1");
        }
        if (second_coding || !rc_http_view_equals_nocase(*coding, "chunked")) {
            return parse_refuse(why, 501, "only the transfer coding chunked is known");
        }
        out->chunked = true;
    }
    return 0;
}

static int judge_rest(struct rc_http_request *out, const char **why)
{
    if (out->version == RC_HTTP_1_1) {
        out->keep_alive = !rc_http_header_has_token(out, "connection", "close");
    } else {
        out->keep_alive = rc_http_header_has_token(out, "connection", "keep-alive") &&
                          !rc_http_header_has_token(out, "connection", "close");
    }

    const struct rc_http_view *expect = rc_http_header(out, "expect");
    if (expect != NULL && out->version == RC_HTTP_1_1) {
        if (!rc_http_view_equals_nocase(*expect, "100-continue")) {
            return parse_refuse(why, 417, "unknown expectation");
        }
        out->expect_100 = true;
    }
    return 0;
}

int rc_http_request_parse(const uint8_t *bytes, size_t n, size_t *scanned, const struct rc_http_limits *limits,
                          struct rc_http_request *out, const char **why)
{
    struct bounds bounds = {
        .head_bytes = parse_bound(limits->head_bytes_max, HEAD_BYTES_DEFAULT, RC_HTTP_HEAD_BYTES_MAX),
        .target_bytes = parse_bound(limits->target_bytes_max, TARGET_BYTES_DEFAULT, RC_HTTP_HEAD_BYTES_MAX),
        .headers = parse_bound(limits->headers_max, HEADERS_DEFAULT, RC_HTTP_HEADERS_MAX),
    };
    struct request_line line;

    size_t start = n >= 2 && bytes[0] == '\r' && bytes[1] == '\n' ? 2 : 0;
    if (n == start || (n == 1 && bytes[0] == '\r')) {
        return 0;
    }
    /* What does not even begin like HTTP (TLS on the wrong port, say) need not be waited for. */
    if (!is_token_byte(bytes[start])) {
        return parse_refuse(why, 400, "this is not HTTP");
    }
    int head_bytes = find_end(bytes, n, start, scanned, &bounds, why);
    if (head_bytes <= 0) {
        return head_bytes;
    }

    /* Not the whole struct: the header table is big, and only what header_count covers is read. */
    memset(out, 0, offsetof(struct rc_http_request, headers));
    const char *head = (const char *)bytes + start;
    const char *line_end = memchr(head, '\r', (size_t)head_bytes - start);
    int error = parse_line(head, (size_t)(line_end - head), &bounds, &line, why);
    if (error < 0) {
        return error;
    }
    out->method_text = line.method;
    out->target = line.target;
    out->version = line.version;
    out->method = RC_HTTP_GET;
    if (line.version != RC_HTTP_0_9) {
        error = split_head(bytes + start, (size_t)head_bytes - start, &bounds, out, why);
    }
    if (error == 0) {
        error = judge_target(out, why);
    }
    if (error == 0) {
        error = judge_host(out, why);
    }
    if (error == 0) {
        error = judge_framing(out, why);
    }
    if (error == 0) {
        error = judge_rest(out, why);
    }
    return error < 0 ? error : head_bytes;
}

/* --- decoding ----------------------------------------------------------------------------------------------------- */

static int percent_decode(struct rc_http_view in, bool plus_is_space, char *out, size_t capacity)
{
    size_t written = 0;
    for (size_t i = 0; i < in.bytes; i++) {
        int byte = (uint8_t)in.text[i];
        if (byte == '+' && plus_is_space) {
            byte = ' ';
        }
        if (byte == '%') {
            if (in.bytes - i < 3 || hex_value(in.text[i + 1]) < 0 || hex_value(in.text[i + 2]) < 0) {
                return -EINVAL;
            }
            byte = hex_value(in.text[i + 1]) << 4 | hex_value(in.text[i + 2]);
            i += 2;
            if (byte < 0x20 || byte == 0x7F) {
                return -EINVAL;
            }
        }
        if (written == capacity) {
            return -ENOSPC;
        }
        out[written++] = (char)byte;
    }
    return (int)written;
}

int rc_http_path_decode(struct rc_http_view path, char *out, size_t capacity)
{
    return percent_decode(path, false, out, capacity);
}

bool rc_http_query_next(struct rc_http_view *query, struct rc_http_view *name, struct rc_http_view *value)
{
    if (query->bytes == 0) {
        return false;
    }
    const char *end = memchr(query->text, '&', query->bytes);
    const size_t pair_bytes = end == NULL ? query->bytes : (size_t)(end - query->text);
    const char *equals = memchr(query->text, '=', pair_bytes);
    const size_t name_bytes = equals == NULL ? pair_bytes : (size_t)(equals - query->text);
    const size_t skip = equals == NULL ? pair_bytes : name_bytes + 1;
    const size_t taken = end == NULL ? pair_bytes : pair_bytes + 1;
    *name = (struct rc_http_view){query->text, name_bytes};
    *value = (struct rc_http_view){query->text + skip, pair_bytes - skip};
    *query = (struct rc_http_view){query->text + taken, query->bytes - taken};
    return true;
}

int rc_http_query_decode(struct rc_http_view value, char *out, size_t capacity)
{
    return percent_decode(value, true, out, capacity);
}

int rc_http_query_find(struct rc_http_view query, const char *name, char *out, size_t capacity)
{
    const size_t name_bytes = strlen(name);
    struct rc_http_view found;
    struct rc_http_view value;
    while (rc_http_query_next(&query, &found, &value)) {
        if (found.bytes == name_bytes && memcmp(found.text, name, name_bytes) == 0) {
            return rc_http_query_decode(value, out, capacity);
        }
    }
    return -ENOENT;
}
