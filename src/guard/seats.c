#include "guard/seats.h"
