#include "guard/diagnosis.h"
