/* order: see order.h. What it keeps is for tests, and not there otherwise. */
#include "worker/store/order.h"

#ifdef __SANITIZE_ADDRESS__
#include <signal.h>

static uint64_t order_left;
static void (*order_passed)(void);

void rc_store_order_passed(void)
{
    if (order_passed != NULL) {
        order_passed();
    }
    if (order_left != 0 && --order_left == 0) {
        (void)raise(SIGKILL);
    }
}

void rc_store_order_dies(uint64_t left)
{
    order_left = left;
}

void rc_store_order_calls(void (*passed)(void))
{
    order_passed = passed;
}
#endif
