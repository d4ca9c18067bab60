/*
 * The files that a worker serves, embedded by the build (rule "assets" in the Makefile, with .incbin).
 *
 * Every .html and .js file below worker/ becomes two symbols named after it: the first byte and one past the last
 * (one NUL follows, not counted). They are read-only, exist once per process, may be used from any thread, and cannot
 * fail. A new file needs its two lines here and nothing else.
 */
#ifndef RC_WORKER_HTTP_ASSETS_H
#define RC_WORKER_HTTP_ASSETS_H

#include <stddef.h>
#include <stdint.h>

/* worker/http/page.html: the page behind GET / */
extern const char rc_asset_page_html[];
extern const char rc_asset_page_html_end[];

/* worker/http/ringcast.js: the browser client behind GET /ringcast.js */
extern const char rc_asset_ringcast_js[];
extern const char rc_asset_ringcast_js_end[];

/* Length in bytes of an embedded file, by the name of its first symbol: RC_ASSET_BYTES(rc_asset_page_html) */
#define RC_ASSET_BYTES(name) ((size_t)((uintptr_t)name##_end - (uintptr_t)name))

#endif
