/*
 * option: words of a command line, as `ringcast` and `ringcast token` read them.
 */
#ifndef RC_ACCEPTOR_CONSOLE_OPTION_H
#define RC_ACCEPTOR_CONSOLE_OPTION_H

/* The value of an option: "-c FILE", "--config FILE" or "--config=FILE". NULL when `word` (argv[*at]) is another option; "" when the value is
 * missing. `*at` is moved over a value that is a word of its own. */
const char *rc_option_value(const char *word, const char *name, int argc, char **argv, int *at);

/* Says on stderr what is wrong with a word (NULL: with none), and which command lists what there is. */
void rc_option_wrong(const char *program, const char *help, const char *what, const char *word);

/* The same of a command's own words, with its page: RC_EXIT_CONFIG. */
struct rc_cli;
int rc_option_misused(const struct rc_cli *cli, const char *what, const char *word);

#endif
