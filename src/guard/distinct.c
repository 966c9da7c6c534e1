#include "guard/distinct.h"
