#include "guard/access.h"
