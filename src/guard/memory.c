#include "guard/memory.h"
