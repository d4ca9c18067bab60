/* jwks_url: addresses taken apart, and those that are refused. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/identity/jwks_url.h"

static struct rc_jwks_url url;
static struct rc_err err;

static void good(const char *text, bool tls, const char *host, const char *port, const char *target,
                 const char *authority)
{
    cr_assert_eq(rc_jwks_url_parse(&url, text, false, &err), 0, "%s: %s", text, err.text);
    cr_assert_eq(url.tls, tls);
    cr_assert_str_eq(url.host, host);
    cr_assert_str_eq(url.port, port);
    cr_assert_str_eq(url.target, target);
    cr_assert_str_eq(url.authority, authority);
}

static void wrong(const char *text, const char *word)
{
    cr_assert_eq(rc_jwks_url_parse(&url, text, false, &err), -EINVAL, "%s", text);
    cr_assert(strstr(err.text, word) != NULL, "%s: %s", text, err.text);
}

Test(jwks_url, parts)
{
    good("https://a.example", true, "a.example", "443", "/", "a.example");
    cr_assert(!url.literal);
    good("https://a.example:8443/.well-known/jwks.json?x=1", true, "a.example", "8443", "/.well-known/jwks.json?x=1",
         "a.example:8443");
    good("https://a.example?x", true, "a.example", "443", "/?x", "a.example");
    good("https://192.0.2.1/", true, "192.0.2.1", "443", "/", "192.0.2.1");
    cr_assert(url.literal);
    good("https://[2001:db8::1]:99/k", true, "2001:db8::1", "99", "/k", "[2001:db8::1]:99");
    cr_assert(url.literal);
    good("http://localhost:8080/k", false, "localhost", "8080", "/k", "localhost:8080");
    good("http://127.1.2.3/", false, "127.1.2.3", "80", "/", "127.1.2.3");
    good("http://[::1]/", false, "::1", "80", "/", "[::1]");
}

Test(jwks_url, without_tls_only_to_this_machine)
{
    wrong("http://a.example/", "https://");
    wrong("http://localhost.example/", "https://");
    wrong("http://128.0.0.1/", "https://");
    cr_assert_eq(rc_jwks_url_parse(&url, "http://a.example/", true, &err), 0);
}

Test(jwks_url, refused)
{
    char large[512] = "https://a/";
    wrong("", "https://");
    wrong("ftp://a/", "https://");
    wrong("HTTPS://a/", "https://");
    wrong("https://", "no host");
    wrong("https:///k", "no host");
    wrong("https://:99/", "no host");
    wrong("https://user:password@a.example/", "user name");
    wrong("https://a.example:/", "port");
    wrong("https://a.example:0/", "port");
    wrong("https://a.example:65536/", "port");
    wrong("https://a.example:99999999999/", "port");
    wrong("https://a.example:8x/", "port");
    wrong("https://[::1/", "brackets");
    wrong("https://[a.example]/", "no host");
    wrong("https://a.example/ HTTP/1.1", "byte 18");
    wrong("https://a.example/\r\nX: y", "byte 18");
    wrong("https://a.example/#x", "byte 18");
    wrong("https://a.ex\xc3\xa4mple/", "byte 12");
    memset(large + 10, 'x', 300);
    wrong(large, "longer");
}
