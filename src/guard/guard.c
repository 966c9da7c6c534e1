#include "guard/guard.h"
