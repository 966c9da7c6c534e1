#include "guard/code.h"
