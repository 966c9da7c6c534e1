#include "guard/orders.h"
