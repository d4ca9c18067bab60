/* What a command prints for programs. */
#include "acceptor/console/print_json.h"

/* As many digits as are exact in a double, so that 0.06 is printed as that; 17, jansson's own, print 0.059999999999999998. */
#define RC_JSON_DIGITS 15

bool rc_json_print(FILE *out, const json_t *root)
{
    return root != NULL && json_dumpf(root, out, JSON_INDENT(2) | JSON_REAL_PRECISION(RC_JSON_DIGITS)) == 0 &&
           fputc('\n', out) != EOF;
}
