#include "guard/key.h"
