/*
 * The files that a worker serves, embedded by the build (rule "assets" in the Makefile, with .incbin).
 *
 * Every .html, .js and .css file below worker/ becomes four symbols named after it: the first byte and one past the last (one NUL
 * follows, not counted), of the file and of the file compressed by gzip. They are read-only, exist once per process, may be used from
 * any thread, and cannot fail. A new file needs its line here and nothing else.
 */
#ifndef RC_WORKER_HTTP_ASSETS_H
#define RC_WORKER_HTTP_ASSETS_H

#include <stddef.h>
#include <stdint.h>

#define RC_ASSET(name) \
    extern const char rc_asset_##name[], rc_asset_##name##_end[], rc_asset_##name##_gz[], rc_asset_##name##_gz_end[]

RC_ASSET(page_html); /* worker/http/page.html: the page behind GET / */
RC_ASSET(admin_css); /* worker/http/admin.css, admin.html, admin.js: the dashboard behind GET /admin */
RC_ASSET(admin_html);
RC_ASSET(admin_js);
RC_ASSET(ringcast_js); /* worker/http/ringcast.js: the reference client behind GET /ringcast.js */

#endif
